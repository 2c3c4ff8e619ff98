"""`hubquota notices`: what people are told, and how it reaches them."""

from __future__ import annotations

import click

from hubquota.commands.door import Failed
from hubquota.commands.options import database, engine_of, for_scripts, limit
from hubquota.commands.output import answer, listed, table, when
from hubquota.models.delivery import DeliverySettings
from hubquota.models.letters import KINDS
from hubquota.services.delivery import Delivering, Preferences
from hubquota.services.notices import Notices
from hubquota.services.settingsfile import load_settings

settings_file = click.option(
    "--notices",
    "notices_path",
    envvar="HUBQUOTA_NOTICES",
    required=True,
    type=click.Path(dir_okay=False),
    help="The file of settings for notices: mail, webhook, who decides about requests.",
)


@click.group()
def notices() -> None:
    """What people are told, in the hub, by mail and by a webhook."""


@notices.command("list")
@click.argument("person")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many at most.")
@for_scripts
@database
def list_(person: str, limit: int, as_json: bool, database_url: str) -> None:
    """Print what a person was told, the newest first."""
    found = Notices(engine_of(database_url)).notices(person, limit=limit)

    def tell() -> None:
        table(
            ("number", "at", "kind", "read", "subject"),
            [(str(one.id), when(one.made_at), one.kind, when(one.read_at), one.subject) for one in found],
        )

    answer(as_json, listed(found), tell)


@notices.command()
@for_scripts
@settings_file
@database
def deliver(as_json: bool, notices_path: str, database_url: str) -> None:
    """Send what is due by mail and webhook, to the addresses that were noted; the watch does so by itself."""
    done = Delivering(engine_of(database_url), load_settings(notices_path, DeliverySettings)).deliver()
    told = f"{done.sent} sent, {done.failed} to be tried again, {done.given_up} given up."
    answer(as_json, done, lambda: click.echo(told))
    if done.failed or done.given_up:
        raise Failed("Not all of it was sent; `hubquota notices failed` lists what was given up.", "delivery")


@notices.command()
@click.option("--after", default=0, show_default=True, help="Only those with a higher number.")
@limit
@for_scripts
@database
def failed(after: int, limit: int, as_json: bool, database_url: str) -> None:
    """Print deliveries that were given up, and why."""
    found = _delivering(database_url).given_up(after=after, limit=limit + 1)
    shown = found[:limit]
    following = shown[-1].id if len(found) > limit else None

    def tell() -> None:
        table(
            ("number", "at", "person", "by", "tries", "subject", "error"),
            [
                (
                    str(one.id),
                    when(one.given_up_at),
                    one.person,
                    one.channel,
                    str(one.attempts),
                    one.subject,
                    one.last_error or "",
                )
                for one in shown
            ],
        )
        if following is not None:
            click.echo(f"There are more: add `--after {following}`.")

    answer(as_json, listed(shown, following), tell)


@notices.command()
@click.argument("numbers", type=int, nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that were given up.")
@for_scripts
@database
def retry(numbers: tuple[int, ...], every: bool, as_json: bool, database_url: str) -> None:
    """Try deliveries again that were given up."""
    if bool(numbers) == every:
        raise click.UsageError("Name the deliveries' numbers, or say --all.")
    count = _delivering(database_url).try_again(None if every else numbers)
    word = "delivery" if count == 1 else "deliveries"
    answer(as_json, {"changed": count}, lambda: click.echo(f"{count} {word} will be tried again."))


@notices.command()
@click.argument("person")
@click.argument("address", required=False)
@click.option("--forget", is_flag=True, help="Forget the address.")
@for_scripts
@database
def address(person: str, address: str | None, forget: bool, as_json: bool, database_url: str) -> None:
    """Note a person's mail address, or print the one that is noted."""
    preferences = Preferences(engine_of(database_url))
    if address is not None and forget:
        raise click.UsageError("Give an address, or --forget.")
    if address is not None or forget:
        preferences.set_address(person, address)
    noted = preferences.address(person)
    answer(
        as_json,
        {"person": person, "address": noted},
        lambda: click.echo(f"{person}: {noted or 'no address is noted'}"),
    )


@notices.command("opt-out")
@click.argument("person")
@click.argument("kind", required=False)
@click.option("--undo", is_flag=True, help="Send notices of that kind again.")
@for_scripts
@database
def opt_out(person: str, kind: str | None, undo: bool, as_json: bool, database_url: str) -> None:
    """Send a person no notices of a kind any more, where that is optional; without a kind, print the choices."""
    preferences = Preferences(engine_of(database_url))
    if kind is not None:
        preferences.opt_out(person, kind, out=not undo)
    out = preferences.opted_out(person)
    sent = {name: name not in out for name, what in KINDS.items() if what.optional}
    # Other parts have kinds of their own.
    sent |= dict.fromkeys(sorted(out - sent.keys()), False)

    def tell() -> None:
        table(("kind", "sent"), [(name, "yes" if is_sent else "no") for name, is_sent in sent.items()])

    answer(as_json, {"person": person, "sent": sent}, tell)


def _delivering(database_url: str) -> Delivering:
    return Delivering(engine_of(database_url), DeliverySettings())
