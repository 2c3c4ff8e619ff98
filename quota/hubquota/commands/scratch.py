"""`hubquota scratch`: scratch space with an end."""

from __future__ import annotations

import click

from hubquota.commands import options
from hubquota.commands.output import answer, listed, plain, table, when
from hubquota.models.money import exact_credits, format_price, price_of
from hubquota.models.scratch import GIB, Scratch, price_text
from hubquota.services.scratch import ScratchSpaces
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine


@click.group()
def scratch() -> None:
    """Scratch space with an end."""


@scratch.command("list")
@click.option("--account", help="Only what this account pays for.")
@options.for_scripts
@options.database
def list_scratch(account: str | None, as_json: bool, database_url: str) -> None:
    """List the scratch spaces whose content is still there."""
    spaces = _spaces(database_url)
    _tell(as_json, spaces.all_there() if account is None else spaces.of_accounts([account]))


@scratch.command("price")
@click.argument("gib", type=click.IntRange(1))
@click.argument("days", type=click.IntRange(1))
@options.tiers_file
@options.for_scripts
@options.database
def price(gib: int, days: int, tiers_path: str, as_json: bool, database_url: str) -> None:
    """Say what GIB for DAYS would cost."""
    quote = _spaces(database_url).quote(load_tiers(tiers_path), gib, days)
    told = {"gib": gib, "days": days, "price": exact_credits(quote.price), "ends_at": quote.ends_at.isoformat()}
    answer(as_json, told, lambda: click.echo(price_text(quote)))


@scratch.command("make")
@click.argument("account")
@click.argument("name")
@click.argument("gib", type=click.IntRange(1))
@click.argument("days", type=click.IntRange(1))
@click.option("--person", help="Who it is for; the account's owner if not given.")
@options.tiers_file
@options.for_scripts
@options.database
def make(
    account: str,
    name: str,
    gib: int,
    days: int,
    person: str | None,
    tiers_path: str,
    as_json: bool,
    database_url: str,
) -> None:
    """Make a scratch space of GIB for DAYS."""
    tiers = load_tiers(tiers_path)
    made = _spaces(database_url).make(tiers, account, person=person or account, name=name, gib=gib, days=days)
    _tell(as_json, [made])


@scratch.command("extend")
@click.argument("number", type=int)
@click.argument("days", type=click.IntRange(1))
@options.tiers_file
@options.for_scripts
@options.database
def extend(number: int, days: int, tiers_path: str, as_json: bool, database_url: str) -> None:
    """Put off the end of a scratch space by DAYS."""
    spaces = _spaces(database_url)
    person = spaces.scratch(number).person
    _tell(as_json, [spaces.prolong(load_tiers(tiers_path), number, days=days, person=person)])


@scratch.command("release")
@click.argument("number", type=int)
@options.for_scripts
@options.database
def release(number: int, as_json: bool, database_url: str) -> None:
    """End a scratch space now."""
    _tell(as_json, [_spaces(database_url).release(number, person=options.operator())])


def _spaces(url: str) -> ScratchSpaces:
    return ScratchSpaces(make_engine(url))


def _tell(as_json: bool, found: list[Scratch]) -> None:
    def tell() -> None:
        table(
            ("number", "account", "name", "GiB", "used", "ends", "state", "credits an hour"),
            [
                (
                    str(one.id),
                    one.account,
                    one.name,
                    str(one.gib),
                    "not measured" if one.used is None else f"{one.used / GIB:.1f} GiB",
                    when(one.ends_at),
                    one.state,
                    format_price(price_of(one.rate)),
                )
                for one in found
            ],
        )

    answer(as_json, listed([_view(one) for one in found]), tell)


def _view(one: Scratch) -> dict[str, object]:
    told: dict[str, object] = plain(one)
    return told | {"state": one.state}
