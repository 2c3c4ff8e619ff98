"""The command `hubquota`: setting the ledger up, looking at it, and watching a hub."""

from __future__ import annotations

import getpass
import logging
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Event
from typing import Any, TypeVar

import click
import httpx
from sqlalchemy.exc import SQLAlchemyError

from hubquota import __version__
from hubquota.commands.purge import purge
from hubquota.hub.api import HubApi
from hubquota.hub.watch import Watch
from hubquota.models.ledger import (
    Allocation,
    ConflictingAccountError,
    ConflictingKeyError,
    ImpossibleError,
    Lease,
    Role,
    UnknownAccountError,
    UnknownAllocationError,
)
from hubquota.models.money import InexactAmountError, format_credits, format_price, price_of, to_units
from hubquota.models.states import states_table
from hubquota.models.tiers import Tiers
from hubquota.models.words import number_text
from hubquota.services.describe import tier_table
from hubquota.services.leases import EXTEND_WITHIN
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


#: What a person can do something about, and that says so itself.
_TOLD = (
    UnknownAccountError,
    UnknownAllocationError,
    ConflictingAccountError,
    ConflictingKeyError,
    ImpossibleError,
    InexactAmountError,
)

_why = click.option("--reason", required=True, help="Why; the account's owner reads it.")
_key = click.option("--key", required=True, help="A name for this act: a second one of that name does nothing.")
_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


class _Group(click.Group):
    """Says what went wrong in a sentence where a person can do something about it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except _TOLD as error:
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


main.add_command(purge)


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
    click.echo(f"{name}, tier {', '.join(statement.account.tiers)}")
    click.echo(
        f"{format_credits(balance.available)} credits available: {format_credits(balance.posted)} on "
        f"the account, {format_credits(balance.accrued, rounding='up')} accrued, "
        f"{format_credits(balance.set_aside, rounding='up')} set aside"
    )
    click.echo("\nAllocations")
    _print_allocations(statement.allocations)
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
@_database
def explain(name: str, database_url: str) -> None:
    """Say why an account's balance is what it is: lines that add up to it."""
    found = _ledger(database_url).explain(name)
    _print_table(("credits", "what"), [(format_credits(line.amount), line.text) for line in found.lines])
    click.echo(f"Together {format_credits(found.available)} credits available.")


@main.command()
@click.argument("name")
@click.argument("amount", metavar="CREDITS")
@click.option("--tier", help="The allocation's tier; the one that the account is on if not given.")
@click.option("--start", type=_DAY, help="The first day on which it can pay; now if not given.")
@click.option("--end", type=_DAY, help="The day on which its term ends; without one it has no end.")
@_why
@_key
@_database
def grant(
    name: str,
    amount: str,
    tier: str | None,
    start: datetime | None,
    end: datetime | None,
    reason: str,
    key: str,
    database_url: str,
) -> None:
    """Open an allocation of credits for an account."""
    units = to_units(amount)
    if units <= 0:
        raise click.BadParameter("a grant is above zero; use `hubquota correct` to take something back")
    ledger = _ledger(database_url)
    made = ledger.grant(
        name, units, actor=_actor(), reason=reason, key=key, tier=tier, start=_utc(start), end=_utc(end)
    )
    _tell(ledger, name, f"after this grant, allocation {made.id}")


@main.command()
@click.argument("allocation", type=int)
@click.argument("amount", metavar="CREDITS")
@_why
@_key
@_database
def supplement(allocation: int, amount: str, reason: str, key: str, database_url: str) -> None:
    """Add credits to an allocation."""
    units = to_units(amount)
    if units <= 0:
        raise click.BadParameter("a supplement is above zero; use `hubquota correct` to take something back")
    ledger = _ledger(database_url)
    made = ledger.supplement(allocation, units, actor=_actor(), reason=reason, key=key)
    _tell(ledger, made.account, "after this supplement")


@main.command()
@click.argument("allocation", type=int)
@click.option("--end", type=_DAY, help="The day on which its term ends; without one it has no end.")
@_why
@_key
@_database
def extend(allocation: int, end: datetime | None, reason: str, key: str, database_url: str) -> None:
    """Move the end of an allocation's term to a later day."""
    made = _ledger(database_url).extend_term(allocation, _utc(end), actor=_actor(), reason=reason, key=key)
    _print_allocations([made])


@main.command()
@click.argument("source", type=int)
@click.argument("target", type=int)
@click.argument("amount", metavar="CREDITS")
@_why
@_key
@_database
def transfer(source: int, target: int, amount: str, reason: str, key: str, database_url: str) -> None:
    """Move credits from one allocation to another."""
    units = to_units(amount)
    if units <= 0 or source == target:
        raise click.BadParameter("a transfer moves an amount above zero from one allocation to another")
    _print_allocations(
        _ledger(database_url).transfer(source, target, units, actor=_actor(), reason=reason, key=key)
    )


@main.command()
@click.argument("allocation", type=int)
@_why
@_key
@_database
def suspend(allocation: int, reason: str, key: str, database_url: str) -> None:
    """Let an allocation pay for nothing new."""
    _print_allocations([_ledger(database_url).suspend(allocation, actor=_actor(), reason=reason, key=key)])


@main.command()
@click.argument("allocation", type=int)
@_why
@_key
@_database
def resume(allocation: int, reason: str, key: str, database_url: str) -> None:
    """Let an allocation that was suspended pay again."""
    _print_allocations([_ledger(database_url).resume(allocation, actor=_actor(), reason=reason, key=key)])


@main.command()
@click.argument("allocation", type=int)
@_why
@_key
@_database
def revoke(allocation: int, reason: str, key: str, database_url: str) -> None:
    """End an allocation's term now."""
    _print_allocations([_ledger(database_url).revoke(allocation, actor=_actor(), reason=reason, key=key)])


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("amount", metavar="CREDITS")
@_why
@_key
@_database
def correct(name: str, amount: str, reason: str, key: str, database_url: str) -> None:
    """Add credits to an account, or below zero take some away, to put a mistake right."""
    units = to_units(amount)
    if not units:
        raise click.BadParameter("a correction of nothing corrects nothing")
    ledger = _ledger(database_url)
    ledger.correct(name, units, actor=_actor(), reason=reason, key=key)
    _tell(ledger, name, "after this correction")


@main.group()
def project() -> None:
    """Projects, whose members draw on one account."""


@project.command("open")
@click.argument("name")
@click.option("--tier", required=True, help="The tier that it is on while it has no allocation.")
@click.option("--pi", required=True, help="Who leads it.")
@_database
def project_open(name: str, tier: str, pi: str, database_url: str) -> None:
    """Open an account for a project, without credits."""
    _ledger(database_url).open_project(name, tier, pi=pi, actor=_actor())
    click.echo(f"{name} is a project, and {pi} its PI. `hubquota grant {name} …` gives it credits.")


@project.command("member")
@click.argument("name")
@click.argument("member")
@click.option("--role", type=click.Choice(["member", "pi", "none"]), default="member", show_default=True)
@_database
def project_member(name: str, member: str, role: str, database_url: str) -> None:
    """Give somebody a role in a project, or take it away."""
    ledger = _ledger(database_url)
    roles: dict[str, Role | None] = {"member": "member", "pi": "pi", "none": None}
    ledger.set_member(name, member, roles[role], actor=_actor())
    _print_table(
        ("member", "role", "since"),
        [(one.name, one.role, _when(one.since)) for one in ledger.members(name)],
    )


@main.command()
@_database
def sweep(database_url: str) -> None:
    """Write down what dates have decided: terms that are over, holds that nobody kept up."""
    done = _ledger(database_url).sweep()
    click.echo(
        f"{number_text(done.lapsed, 'allocation')} lapsed, {number_text(done.abandoned, 'start')} abandoned, "
        f"{number_text(done.released, 'hold')} released."
    )


@main.command()
def states() -> None:
    """Print the states of an allocation, and who may move it, as Markdown tables."""
    click.echo(states_table(), nl=False)


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
        within = max(EXTEND_WITHIN, int(3 * interval))
        ledger, tiers_file = _ledger(database_url), TiersFile(tiers_path)
        Watch(ledger, tiers_file, HubApi(client), extend_within=within).run(stop, interval)


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


def _utc(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


def _tell(ledger: Ledger, name: str, when: str) -> None:
    click.echo(f"{name} has {format_credits(ledger.balance(name).posted)} credits {when}.")


def _print_allocations(found: Sequence[Allocation]) -> None:
    _print_table(
        ("number", "account", "tier", "start", "end", "credits", "held", "reason"),
        [
            (
                str(allocation.id),
                allocation.account,
                allocation.tier,
                _when(allocation.start),
                _when(allocation.end),
                format_credits(allocation.balance),
                format_credits(allocation.held, rounding="up"),
                allocation.reason,
            )
            for allocation in found
        ],
    )


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
                format_credits(lease.cost(now), rounding="up"),
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
