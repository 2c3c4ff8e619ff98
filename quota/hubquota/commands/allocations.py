"""`hubquota allocation`: grants, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import click

from hubquota.commands import options
from hubquota.commands.options import TIME, credits_above_zero, ledger_of, operator
from hubquota.commands.output import answer, listed, table, when
from hubquota.models.ledger import Allocation
from hubquota.models.money import format_credits


@click.group()
def allocation() -> None:
    """Grants of credits with dates, and what is done to them."""


@allocation.command("list")
@click.argument("name")
@click.option("--all", "lapsed", is_flag=True, help="Also those whose books are closed.")
@options.for_scripts
@options.database
def list_allocations(name: str, lapsed: bool, as_json: bool, database_url: str) -> None:
    """List an account's allocations in the order in which they are spent."""
    _print_all(as_json, ledger_of(database_url).allocations(name, lapsed=lapsed))


@allocation.command("show")
@click.argument("number", type=int)
@options.for_scripts
@options.database
def show_allocation(number: int, as_json: bool, database_url: str) -> None:
    """Print one allocation."""
    _print(as_json, ledger_of(database_url).allocation(number))


@allocation.command()
@click.argument("name")
@click.argument("units", metavar="CREDITS", type=credits_above_zero("a grant"))
@click.option("--tier", help="The allocation's tier; the one that the account is on if not given.")
@click.option("--start", type=TIME, help="The first day on which it can pay; now if not given.")
@click.option("--end", type=TIME, help="The day on which its term ends; without one it has no end.")
@click.option("--renewable", is_flag=True, help="Another may follow it on request.")
@options.why
@options.key
@options.for_scripts
@options.tiers_to_check
@options.database
def grant(
    name: str,
    units: int,
    tier: str | None,
    start: datetime | None,
    end: datetime | None,
    renewable: bool,
    reason: str,
    key: str,
    as_json: bool,
    tiers_path: str | None,
    database_url: str,
) -> None:
    """Open an allocation of credits for an account."""
    if tier is not None:
        options.known_tier(tier, tiers_path)
    ledger = ledger_of(database_url)
    made = ledger.grant(
        name,
        units,
        actor=operator(),
        reason=reason,
        key=key,
        tier=tier,
        start=start,
        end=end,
        renewable=renewable,
    )

    def tell() -> None:
        posted = format_credits(ledger.balance(name).posted)
        click.echo(f"{name} has {posted} credits after this grant, allocation {made.id}.")

    answer(as_json, made, tell)


@allocation.command()
@click.argument("number", type=int)
@click.argument("units", metavar="CREDITS", type=credits_above_zero("a supplement"))
@options.why
@options.key
@options.for_scripts
@options.database
def supplement(number: int, units: int, reason: str, key: str, as_json: bool, database_url: str) -> None:
    """Add credits to an allocation."""
    ledger = ledger_of(database_url)
    _print(as_json, ledger.supplement(number, units, actor=operator(), reason=reason, key=key))


@allocation.command()
@click.argument("number", type=int)
@click.option("--end", type=TIME, help="The day on which its term ends.")
@click.option("--no-end", is_flag=True, help="Take its end away.")
@options.why
@options.key
@options.for_scripts
@options.database
def extend(
    number: int, end: datetime | None, no_end: bool, reason: str, key: str, as_json: bool, database_url: str
) -> None:
    """Move the end of an allocation's term to a later day."""
    if no_end == (end is not None):
        raise click.UsageError("Say when the allocation's term ends: either --end or --no-end.")
    ledger = ledger_of(database_url)
    _print(as_json, ledger.extend_term(number, end, actor=operator(), reason=reason, key=key))


@allocation.command()
@click.argument("source", type=int)
@click.argument("target", type=int)
@click.argument("units", metavar="CREDITS", type=credits_above_zero("a transfer"))
@options.why
@options.key
@options.for_scripts
@options.database
def transfer(
    source: int, target: int, units: int, reason: str, key: str, as_json: bool, database_url: str
) -> None:
    """Move credits from one allocation to another."""
    if source == target:
        raise click.BadParameter("a transfer goes from one allocation to another", param_hint="TARGET")
    ledger = ledger_of(database_url)
    _print_all(as_json, ledger.transfer(source, target, units, actor=operator(), reason=reason, key=key))


def _act(name: str, told: str) -> None:
    """Add a command that does something to one allocation."""

    @allocation.command(name, help=told)
    @click.argument("number", type=int)
    @options.why
    @options.key
    @options.for_scripts
    @options.database
    def act(number: int, reason: str, key: str, as_json: bool, database_url: str) -> None:
        ledger = ledger_of(database_url)
        acts: dict[str, Callable[..., Allocation]] = {
            "suspend": ledger.suspend,
            "resume": ledger.resume,
            "revoke": ledger.revoke,
        }
        _print(as_json, acts[name](number, actor=operator(), reason=reason, key=key))


_act("suspend", "Let an allocation pay for nothing new.")
_act("resume", "Let an allocation that was suspended pay again.")
_act("revoke", "End an allocation's term now.")


def allocation_table(found: Sequence[Allocation]) -> None:
    """Print allocations for people."""
    table(
        ("number", "account", "tier", "start", "end", "credits", "held", "remarks", "reason"),
        [
            (
                str(one.id),
                one.account,
                one.tier,
                when(one.start),
                when(one.end),
                format_credits(one.balance),
                format_credits(one.held, rounding="up"),
                _remarks(one),
                one.reason,
            )
            for one in found
        ],
    )


def _remarks(one: Allocation) -> str:
    dated = (
        ("suspended", one.suspended_at),
        ("revoked", one.revoked_at),
        ("closed", one.lapsed_at),
        ("archived", one.archived_at),
        ("purged", one.purged_at),
    )
    return ", ".join(f"{word} {at:%Y-%m-%d}" for word, at in dated if at is not None) or "-"


def _print(as_json: bool, found: Allocation) -> None:
    answer(as_json, found, lambda: allocation_table([found]))


def _print_all(as_json: bool, found: Sequence[Allocation]) -> None:
    answer(as_json, listed(found), lambda: allocation_table(found))
