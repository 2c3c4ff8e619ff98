"""`hubquota purge hold`, `release`, `holds`, `restore`: what keeps an account's things, and brings them back."""

from __future__ import annotations

import click

from hubquota.commands import options
from hubquota.commands.options import actor
from hubquota.commands.output import answer, bar, listed, table
from hubquota.commands.purge_parts import day, item_table, purge_of, really, register_of, settings_file
from hubquota.models.purge import PurgeError, Stage


@click.command()
@click.argument("account")
@options.why
@options.acting_as
@options.for_scripts
@options.database
def hold(account: str, reason: str, person: str | None, as_json: bool, database_url: str) -> None:
    """Put an account on hold: nothing of it is purged until that is lifted."""
    new = register_of(database_url).hold(account, by=actor(person), reason=reason)
    answer(
        as_json,
        {"account": account, "changed": new},
        lambda: click.echo(f"{account} is on hold." if new else f"{account} was on hold already."),
    )


@click.command()
@click.argument("account")
@options.why
@options.acting_as
@options.for_scripts
@options.database
def release(account: str, reason: str, person: str | None, as_json: bool, database_url: str) -> None:
    """Lift the hold on an account."""
    lifted = register_of(database_url).release(account, by=actor(person), reason=reason)
    answer(
        as_json,
        {"account": account, "changed": lifted},
        lambda: click.echo(f"{account} is no longer on hold." if lifted else f"{account} was not on hold."),
    )


@click.command()
@options.for_scripts
@options.database
def holds(as_json: bool, database_url: str) -> None:
    """List the accounts on hold."""
    found = register_of(database_url).holds()

    def tell() -> None:
        table(
            ("account", "since", "by", "reason"),
            [(one.account, day(one.placed_at), one.placed_by, one.reason) for one in found],
        )

    answer(as_json, listed(found), tell)


@click.command()
@click.argument("account")
@click.option("--thing", "number", type=int, help="Only the thing of this number; all if not given.")
@options.acting_as
@really
@options.for_scripts
@settings_file
@options.tiers_file
@options.database
def restore(
    account: str,
    number: int | None,
    person: str | None,
    really: bool,
    as_json: bool,
    settings_path: str,
    tiers_path: str,
    database_url: str,
) -> None:
    """Bring back what was taken from an account, out of the quarantine or the archive."""
    found = [
        item
        for item in register_of(database_url).items_of(account)
        if item.stage in (Stage.QUARANTINED, Stage.DELETED) and number in (None, item.id)
    ]
    if not found:
        raise PurgeError(f"There is nothing of {account} to bring back.")
    if really:
        with bar("Restoring", sum(item.seen.bytes for item in found)) as more:
            service = purge_of(database_url, tiers_path, settings_path, more)
            found = [service.restore(item.id, by=actor(person)) for item in found]

    def tell() -> None:
        item_table(found)
        if not really:
            click.echo("Nothing was brought back. Add --really to do it.")

    answer(as_json, {"really": really, "items": found}, tell)
