"""`hubquota request decide`: many requests with one reason, first shown and then carried out."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hubquota.commands import options
from hubquota.commands.door import Failed
from hubquota.commands.options import actor, engine_of
from hubquota.commands.output import answer, bar, listed, table, when
from hubquota.models.money import format_credits
from hubquota.models.words import number_text
from hubquota.services.decisions import DecisionResult, DecisionRow, Decisions, Verdict
from hubquota.services.tiersfile import load_tiers

#: So many are read, and decided, before the bar moves on.
_PAGE = 500


@click.command()
@click.argument("verdict", type=click.Choice(["approve", "deny"]))
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=int)
@click.option("--waiting", is_flag=True, help="All that wait for a decision, instead of numbers.")
@options.why
@click.option("--yes", is_flag=True, help="Do not ask before it is decided.")
@options.for_scripts
@options.tiers_file
@options.database
def decide(
    verdict: Verdict,
    numbers: tuple[int, ...],
    waiting: bool,
    reason: str,
    yes: bool,
    as_json: bool,
    database_url: str,
    tiers_path: str,
) -> None:
    """Approve or deny many requests with one reason, after a look at what it comes to.

    What is approved is granted in full, for the term of its tier. With --json nothing is decided without --yes.
    """
    if waiting == bool(numbers):
        raise click.UsageError("Say which: either the requests' numbers or --waiting.")
    tiers = load_tiers(tiers_path)
    decisions = Decisions(engine_of(database_url), tiers=lambda: tiers)
    plan = decisions.preview(_waiting(decisions) if waiting else numbers, verdict, tiers)
    wanted = [(row.number, row.end) for row in plan if row.refusal is None]
    if not (as_json and yes):
        answer(as_json, listed(plan), lambda: _print_plan(plan, verdict))
    if not wanted:
        raise Failed("There is nothing to decide.", "nothing")
    if not yes:
        if as_json:
            return
        click.confirm(f"{verdict.capitalize()} {number_text(len(wanted), 'request')}?", abort=True)
    done: list[DecisionResult] = [
        DecisionResult(row.number, row.request.account if row.request else "", row.refusal)
        for row in plan
        if row.refusal is not None
    ]
    with bar("Deciding", len(wanted)) as more:
        for first in range(0, len(wanted), _PAGE):
            some = wanted[first : first + _PAGE]
            done += decisions.carry_out(some, verdict, tiers, by=actor(None), reason=reason)
            more(len(some))
    left = [result for result in done if result.refusal is not None]
    answer(as_json, listed(done), lambda: _print_done(len(done) - len(left), left))
    if left:
        raise Failed(f"{number_text(len(left), 'request')} left alone.", "conflict")


def _waiting(decisions: Decisions) -> list[int]:
    found: list[int] = []
    while page := decisions.queue(after=found[-1] if found else 0, limit=_PAGE):
        found += [request.id for request in page]
    return found


def _print_plan(plan: Sequence[DecisionRow], verdict: Verdict) -> None:
    table(
        ("number", "account", "tier", "credits", "from", "to", ""),
        [
            (
                str(row.number),
                row.request.account if row.request else "-",
                row.request.tier if row.request else "-",
                format_credits(row.request.amount) if row.request else "-",
                when(row.start),
                when(row.end),
                row.refusal or verdict,
            )
            for row in plan
        ],
    )


def _print_done(decided: int, left: Sequence[DecisionResult]) -> None:
    click.echo(f"{number_text(decided, 'request')} decided.")
    if left:
        click.echo("Left alone:")
        table(("number", "account", "why"), [(str(one.number), one.account, str(one.refusal)) for one in left])
