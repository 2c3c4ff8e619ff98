"""`hubquota request`: asking for allocations, and deciding."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from hubquota.commands import options
from hubquota.commands.decisions import decide
from hubquota.commands.options import TIME, actor, credits_above_zero, engine_of, tiers_around
from hubquota.commands.output import answer, listed, table, when
from hubquota.models.money import format_credits
from hubquota.models.requests import Request
from hubquota.services.requests import Requests

_amount = credits_above_zero("a request")


@click.group()
def request() -> None:
    """Requests for allocations, and what is decided about them."""


request.add_command(decide)


@request.command("list")
@click.option("--account", help="Only those of this account.")
@click.option("--all", "decided", is_flag=True, help="Also those that are decided.")
@click.option("--after", default=0, help="Only those with a higher number: where the page before ended.")
@options.limit
@options.for_scripts
@options.database
def list_requests(
    account: str | None, decided: bool, after: int, limit: int, as_json: bool, database_url: str
) -> None:
    """List the queue of requests, the oldest first."""
    found = _requests(database_url).queue(account=account, open_only=not decided, after=after, limit=limit + 1)
    shown = found[:limit]
    following = shown[-1].id if len(found) > limit else None

    def tell() -> None:
        _table(shown)
        if following is not None:
            click.echo(f"There are more: add `--after {following}`.")

    answer(as_json, listed(shown, following), tell)


@request.command("show")
@click.argument("number", type=int)
@options.for_scripts
@options.database
def show_request(number: int, as_json: bool, database_url: str) -> None:
    """Print one request, with its justification and what was decided."""
    _print(as_json, _requests(database_url).request(number))


@request.command()
@click.argument("account")
@click.argument("units", metavar="CREDITS", type=_amount)
@click.option("--tier", required=True, help="The tier that is asked for.")
@click.option("--justification", required=True, help="What it is for; whoever decides reads it.")
@options.acting_as
@options.for_scripts
@options.tiers_to_check
@options.database
def ask(
    account: str,
    units: int,
    tier: str,
    justification: str,
    person: str | None,
    as_json: bool,
    tiers_path: str | None,
    database_url: str,
) -> None:
    """Ask for an allocation for an account."""
    options.known_tier(tier, tiers_path)
    made = _requests(database_url).ask(account, tier, units, justification=justification, by=actor(person))
    _print(as_json, made)


@request.command()
@click.argument("number", metavar="ALLOCATION", type=int)
@click.option("--credits", "units", type=_amount, help="How much; as much as the last one if not given.")
@click.option("--justification", required=True, help="What it is for; whoever decides reads it.")
@click.option("--results", default="", help="What came of the last term: papers, DOIs.")
@options.acting_as
@options.for_scripts
@options.database
def renew(
    number: int,
    units: int | None,
    justification: str,
    results: str,
    person: str | None,
    as_json: bool,
    database_url: str,
) -> None:
    """Ask for an allocation that follows another."""
    made = _requests(database_url).renew(
        number, justification=justification, results=results, by=actor(person), units=units
    )
    _print(as_json, made)


@request.command()
@click.argument("number", type=int)
@click.option("--end", type=TIME, help="The day on which the allocation's term ends.")
@click.option("--no-end", is_flag=True, help="The allocation has no end.")
@click.option("--start", type=TIME, help="When it starts; at the end of the one that it follows, or now.")
@click.option("--credits", "units", type=_amount, help="How much; what was asked for if not given.")
@click.option("--tier", help="Its tier; the one that was asked for if not given.")
@click.option("--last", is_flag=True, help="No other may follow it on request.")
@options.why
@options.for_scripts
@options.tiers_to_check
@options.database
def approve(
    number: int,
    end: datetime | None,
    no_end: bool,
    start: datetime | None,
    units: int | None,
    tier: str | None,
    last: bool,
    reason: str,
    as_json: bool,
    tiers_path: str | None,
    database_url: str,
) -> None:
    """Grant what was asked for, or less."""
    if tier is not None:
        options.known_tier(tier, tiers_path)
    if no_end == (end is not None):
        raise click.UsageError("Say when the allocation's term ends: either --end or --no-end.")
    made = _requests(database_url).approve(
        number,
        by=actor(None),
        reason=reason,
        end=end,
        start=start,
        units=units,
        tier=tier,
        renewable=False if last else None,
    )
    _print(as_json, made)


@request.command()
@click.argument("number", type=int)
@options.why
@options.for_scripts
@options.database
def deny(number: int, reason: str, as_json: bool, database_url: str) -> None:
    """Turn a request down."""
    _print(as_json, _requests(database_url).deny(number, by=actor(None), reason=reason))


@request.command()
@click.argument("number", type=int)
@click.option("--reason", default="", help="Why.")
@options.acting_as
@options.for_scripts
@options.database
def withdraw(number: int, reason: str, person: str | None, as_json: bool, database_url: str) -> None:
    """Take a request back."""
    _print(as_json, _requests(database_url).withdraw(number, by=actor(person), reason=reason))


def _requests(database_url: str) -> Requests:
    return Requests(engine_of(database_url), tiers=tiers_around())


def _table(found: Sequence[Request]) -> None:
    table(
        ("number", "account", "tier", "credits", "asked by", "asked", "renews", "state", "allocation"),
        [
            (
                str(one.id),
                one.account,
                one.tier,
                format_credits(one.amount),
                one.asked_by,
                when(one.asked_at),
                str(one.renews or "-"),
                _state(one),
                str(one.allocation or "-"),
            )
            for one in found
        ],
    )


def _state(one: Request) -> str:
    return one.decision or one.state.value


def _print(as_json: bool, found: Request) -> None:
    def tell() -> None:
        _table([found])
        click.echo(f"For: {found.justification}")
        if found.renews is not None:
            click.echo(f"The term before used {format_credits(found.used, rounding='up')} credits.")
        if found.results:
            click.echo(f"Results: {found.results}")
        if found.decision is not None:
            click.echo(
                f"{found.decision} by {found.decided_by}, {when(found.decided_at)}: {found.decision_reason}"
            )

    answer(as_json, found, tell)
