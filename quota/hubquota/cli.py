"""The command `hubquota`: setting the ledger up, looking at it, and watching a hub."""

from __future__ import annotations

import getpass
import logging
import signal
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event
from typing import Any, TypeVar

import click
import httpx
from sqlalchemy.exc import SQLAlchemyError

from hubquota import __version__
from hubquota.hub.api import HubApi
from hubquota.hub.watch import Watch
from hubquota.models.ledger import ConflictingKeyError, Lease, UnknownAccountError
from hubquota.models.money import InexactAmountError, format_credits, format_price, price_of, to_units
from hubquota.models.tiers import Tiers
from hubquota.services.describe import tier_table
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.tiersfile import TiersFile, TiersFileError, load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate as migrate_database

Command = TypeVar("Command", bound=Callable[..., Any])

_database = click.option(
    "--database-url",
    envvar="HUBQUOTA_DATABASE_URL",
    required=True,
    help="The ledger's database, such as sqlite:////srv/quota/ledger.sqlite.",
)
_tiers = click.option(
    "--tiers",
    "tiers_path",
    envvar="HUBQUOTA_TIERS",
    required=True,
    type=click.Path(dir_okay=False),
    help="The tiers file.",
)


class _Group(click.Group):
    """Says what went wrong in a sentence where a person can do something about it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (UnknownAccountError, ConflictingKeyError, InexactAmountError) as error:
            raise click.ClickException(str(error)) from error
        except TiersFileError as error:
            raise click.ClickException(f"The tiers file has mistakes.\n{error}") from error
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error)
            raise click.ClickException(
                f"The ledger's database cannot be used: {reason}\n"
                "Check its address, and that `hubquota migrate` has been run."
            ) from error


@click.group(cls=_Group)
@click.version_option(__version__, prog_name="hubquota")
def main() -> None:
    """Tiers, budgets and an exact ledger for a JupyterHub."""


@main.command()
@_database
def migrate(database_url: str) -> None:
    """Create the ledger's tables, or bring them up to date."""
    migrate_database(_engine(database_url))
    click.echo("The ledger's database is up to date.")


@main.group()
def tiers() -> None:
    """Look at a tiers file."""


@tiers.command("check")
@click.argument("path", type=click.Path(dir_okay=False), envvar="HUBQUOTA_TIERS")
def tiers_check(path: str) -> None:
    """Say what is wrong with a tiers file, and on which line."""
    found = _load(path)
    click.echo(f"{path}: {len(found.tiers)} tiers and {len(found.sizes)} sizes, without mistakes.")


@tiers.command("table")
@click.argument("path", type=click.Path(dir_okay=False), envvar="HUBQUOTA_TIERS")
def tiers_table(path: str) -> None:
    """Print the sizes and the tiers as Markdown tables."""
    click.echo(tier_table(_load(path)), nl=False)


@main.command()
@click.argument("name")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many lines.")
@_database
def account(name: str, limit: int, database_url: str) -> None:
    """Print an account's balance, what it runs, and its journal."""
    statement = _ledger(database_url).statement(name, limit=limit)
    balance = statement.balance
    click.echo(f"{name}, tier {statement.account.tier}")
    click.echo(
        f"{format_credits(balance.available)} credits available: {format_credits(balance.posted)} on "
        f"the account, {format_credits(balance.accrued, rounding='up')} accrued, "
        f"{format_credits(balance.set_aside, rounding='up')} set aside"
    )
    click.echo("\nRunning")
    _print_leases(statement.running)
    click.echo("\nEnded")
    _print_table(
        ("ended", "what", "seconds", "charged", "reason"),
        [
            (
                _when(lease.ended_at),
                lease.label,
                str(lease.seconds(utc_now())),
                format_credits(lease.charged, rounding="up"),
                lease.reason or "",
            )
            for lease in statement.ended
        ],
    )
    click.echo("\nJournal")
    _print_table(
        ("at", "kind", "credits", "balance", "by", "reason"),
        [
            (
                _when(entry.at),
                entry.kind,
                format_credits(entry.amount),
                format_credits(entry.balance_after),
                entry.actor,
                entry.reason,
            )
            for entry in statement.entries
        ],
    )


@main.command()
@click.argument("name")
@click.argument("amount", metavar="CREDITS")
@click.option("--reason", required=True, help="Why; the account's owner reads it.")
@click.option("--key", required=True, help="A name for this grant: a second one of that name does nothing.")
@_database
def grant(name: str, amount: str, reason: str, key: str, database_url: str) -> None:
    """Grant an account credits."""
    units = to_units(amount)
    if units <= 0:
        raise click.BadParameter("a grant is above zero; use `hubquota correct` to take something back")
    entry = _ledger(database_url).grant(name, units, actor=_actor(), reason=reason, key=key)
    click.echo(f"{name} has {format_credits(entry.balance_after)} credits after this grant.")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("amount", metavar="CREDITS")
@click.option("--reason", required=True, help="What was wrong; the account's owner reads it.")
@click.option("--key", required=True, help="A name for this correction: a second one does nothing.")
@_database
def correct(name: str, amount: str, reason: str, key: str, database_url: str) -> None:
    """Add credits to an account, or below zero take some away, to put a mistake right."""
    units = to_units(amount)
    if not units:
        raise click.BadParameter("a correction of nothing corrects nothing")
    entry = _ledger(database_url).correct(name, units, actor=_actor(), reason=reason, key=key)
    click.echo(f"{name} has {format_credits(entry.balance_after)} credits after this correction.")


@main.command()
@_database
def verify(database_url: str) -> None:
    """Recompute every balance and charge from the journal; fail if something does not add up."""
    found = _ledger(database_url).verify()
    for mismatch in found:
        click.echo(
            f"{mismatch.account}: {mismatch.what}: {mismatch.found} units, but {mismatch.expected} expected"
        )
    if found:
        raise click.ClickException(f"{len(found)} things in the ledger do not add up.")
    click.echo("Every balance and every charge adds up.")


@main.command()
@_database
def leases(database_url: str) -> None:
    """Print what runs now, over all accounts."""
    _print_leases(_ledger(database_url).open_leases())


@main.command()
@click.option("--interval", default=60.0, show_default=True, help="Seconds between two passes.")
@click.option("--hub-url", envvar="JUPYTERHUB_API_URL", required=True, help="The hub's REST API.")
@click.option("--hub-token", envvar="JUPYTERHUB_API_TOKEN", required=True, help="A token for it.")
@_database
@_tiers
def watch(interval: float, hub_url: str, hub_token: str, database_url: str, tiers_path: str) -> None:
    """Keep the ledger in step with a hub, and stop servers that ran too long. Runs until it is ended."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname)1.1s %(asctime)s %(name)s] %(message)s")
    # One line a request would bury what the watch itself has to say.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    headers = {"Authorization": f"token {hub_token}"}
    with httpx.Client(base_url=f"{hub_url.rstrip('/')}/", headers=headers, timeout=30) as client:
        Watch(_ledger(database_url), TiersFile(tiers_path), HubApi(client)).run(stop, interval)


def _engine(database_url: str) -> Any:
    try:
        return make_engine(database_url)
    except (ValueError, SQLAlchemyError) as error:
        raise click.BadParameter(str(error), param_hint="--database-url") from error


def _ledger(database_url: str) -> Ledger:
    return Ledger(_engine(database_url))


def _load(path: str) -> Tiers:
    try:
        return load_tiers(path)
    except TiersFileError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error


def _actor() -> str:
    return f"{getpass.getuser()} (hubquota)"


def _when(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def _print_leases(found: Sequence[Lease]) -> None:
    now = utc_now()
    _print_table(
        ("account", "what", "key", "since", "last seen", "seconds", "credits an hour", "so far"),
        [
            (
                lease.account,
                lease.label,
                lease.key,
                _when(lease.started_at),
                _when(lease.seen_at),
                str(lease.seconds(now)),
                format_price(price_of(lease.rate)),
                format_credits(lease.rate * lease.seconds(now), rounding="up"),
            )
            for lease in found
        ],
    )


def _print_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        click.echo("  nothing")
        return
    widths = [max(len(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    for line in (heads, *rows):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo(f"  {'  '.join(cells)}".rstrip())
