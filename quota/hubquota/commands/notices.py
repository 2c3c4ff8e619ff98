"""`hubquota notices`: what people are told, and how it reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from hubquota.commands.options import database, engine_of, for_scripts
from hubquota.commands.output import answer, table, when
from hubquota.models.delivery import DeliverySettings
from hubquota.models.letters import KINDS
from hubquota.models.words import number_text
from hubquota.services.delivery import Delivering, Preferences
from hubquota.services.notices import Notices
from hubquota.services.noticesfile import load_delivery_settings

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

    items = [
        {
            "id": one.id,
            "kind": one.kind,
            "subject": one.subject,
            "text": one.text,
            "optional": one.optional,
            "made_at": one.made_at.isoformat(),
            "read_at": one.read_at and one.read_at.isoformat(),
        }
        for one in found
    ]
    answer(as_json, {"items": items}, tell)


@notices.command()
@database
@settings_file
def deliver(database_url: str, notices_path: str) -> None:
    """Send what is due by mail and webhook, to the addresses that were noted; the watch does so by itself."""
    with _told():
        done = Delivering(engine_of(database_url), load_delivery_settings(notices_path)).deliver()
    click.echo(f"{done.sent} sent, {done.failed} to be tried again, {done.given_up} given up.")
    if done.failed or done.given_up:
        raise click.exceptions.Exit(1)


@notices.command()
@click.option("--after", default=0, show_default=True, help="Only those with a higher number.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="How many at most.")
@for_scripts
@database
def failed(after: int, limit: int, as_json: bool, database_url: str) -> None:
    """Print deliveries that were given up, and why."""
    found = _delivering(database_url).given_up(after=after, limit=limit)

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
                for one in found
            ],
        )

    items = [
        {
            "id": one.id,
            "notice": one.notice,
            "person": one.person,
            "channel": one.channel,
            "attempts": one.attempts,
            "subject": one.subject,
            "given_up_at": one.given_up_at and one.given_up_at.isoformat(),
            "error": one.last_error,
        }
        for one in found
    ]
    answer(as_json, {"items": items}, tell)


@notices.command()
@click.argument("numbers", type=int, nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that were given up.")
@database
def retry(numbers: tuple[int, ...], every: bool, database_url: str) -> None:
    """Try deliveries again that were given up."""
    if bool(numbers) == every:
        raise click.UsageError("Name the deliveries' numbers, or say --all.")
    count = _delivering(database_url).try_again(None if every else numbers)
    click.echo(f"{number_text(count, 'delivery') if count == 1 else f'{count} deliveries'} will be tried again.")


@notices.command()
@click.argument("person")
@click.argument("address", required=False)
@click.option("--forget", is_flag=True, help="Forget the address.")
@database
def address(person: str, address: str | None, forget: bool, database_url: str) -> None:
    """Note a person's mail address, or print the one that is noted."""
    preferences = Preferences(engine_of(database_url))
    if address is not None and forget:
        raise click.UsageError("Give an address, or --forget.")
    if address is not None or forget:
        with _told():
            preferences.set_address(person, address)
    click.echo(f"{person}: {preferences.address(person) or 'no address is noted'}")


@notices.command("opt-out")
@click.argument("person")
@click.argument("kind", required=False)
@click.option("--undo", is_flag=True, help="Send notices of that kind again.")
@database
def opt_out(person: str, kind: str | None, undo: bool, database_url: str) -> None:
    """Send a person no notices of a kind any more, where that is optional; without a kind, print the choices."""
    preferences = Preferences(engine_of(database_url))
    if kind is not None:
        with _told():
            preferences.opt_out(person, kind, out=not undo)
    out = preferences.opted_out(person)
    chosen = {name: "no" if name in out else "yes" for name, what in KINDS.items() if what.optional}
    # Other parts have kinds of their own.
    chosen |= dict.fromkeys(sorted(out - chosen.keys()), "no")
    table(("kind", "sent"), list(chosen.items()))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _delivering(database_url: str) -> Delivering:
    return Delivering(engine_of(database_url), DeliverySettings())
