"""`hubquota renew`: many allocations at once, first as a preview, then by its token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from hubquota.commands.door import Failed
from hubquota.commands.options import (
    TIME,
    credits_above_zero,
    database,
    engine_of,
    for_scripts,
    operator,
    tiers_file,
)
from hubquota.commands.output import answer, bar, table, when
from hubquota.models.money import exact_credits, format_credits
from hubquota.models.renewals import Carried, Filter, Item, Preview, Problem
from hubquota.models.words import number_text
from hubquota.services.renewallist import parse_renewals
from hubquota.services.renewals import Renewals
from hubquota.services.tiersfile import load_tiers

#: A preview shows people so many lines, unless they ask for all.
_SHOWN = 20


@click.group()
def renew() -> None:
    """Renew many allocations at once: first a preview, then exactly what it showed."""


@renew.command()
@click.option("--csv", "path", type=click.Path(dir_okay=False, exists=True), help="A list; see below.")
@click.option("--skip-wrong", is_flag=True, help="With --csv: leave out the lines that are wrong.")
@click.option("--ends-before", type=TIME, help="Renew what ends before this day.")
@click.option("--tier", help="Only allocations of this tier.")
@click.option("--active-within", type=click.IntRange(1), help="Only of accounts used so many days before the end.")
@click.option(
    "--accounts", "pattern", default="*", show_default=True, help="Only accounts that this pattern fits."
)
@click.option("--credits", "units", type=credits_above_zero("a renewal"), help="The tier's budget if not given.")
@click.option("--end", type=TIME, help="When the new terms end; after the tier's term if not given.")
@click.option("--reason", help="Why; the accounts' owners read it. Needed without --csv.")
@click.option("--all", "show_all", is_flag=True, help="Print every line.")
@for_scripts
@tiers_file
@database
def preview(
    path: str | None,
    skip_wrong: bool,
    ends_before: datetime | None,
    tier: str | None,
    active_within: int | None,
    pattern: str,
    units: int | None,
    end: datetime | None,
    reason: str | None,
    show_all: bool,
    as_json: bool,
    database_url: str,
    tiers_path: str,
) -> None:
    """Say what would be renewed, what is wrong on which line, and what it comes to.

    A list has the columns account, tier, credits, end and reason, named in its first line. Credits and end
    may be empty, for the tier's budget and term.
    """
    tiers = load_tiers(tiers_path)
    renewals = Renewals(engine_of(database_url), lambda: tiers)
    if path is not None:
        if (ends_before, tier, active_within, units, end, reason, pattern) != (None,) * 6 + ("*",):
            raise click.UsageError("With --csv, the list says everything: leave the other choices out.")
        wanted, problems = parse_renewals(Path(path).read_text(encoding="utf-8"))
        found = renewals.preview_list(wanted, actor=operator(), problems=problems, skip_wrong=skip_wrong)
    else:
        if ends_before is None or reason is None:
            raise click.UsageError("Give a list with --csv, or choose with --ends-before and give a --reason.")
        chosen = Filter(ends_before, tier=tier, active_within_days=active_within, accounts=pattern)
        found = renewals.preview(chosen, reason=reason, actor=operator(), units=units, end=end)
    answer(as_json, _view(found), lambda: _print(found, show_all=show_all))
    if found.problems and found.token is None:
        raise Failed("Put what is wrong right, or leave it out with --skip-wrong.", "invalid")
    if found.token is None:
        raise Failed("There is nothing to renew.", "nothing")


@renew.command("carry-out")
@click.argument("token")
@for_scripts
@tiers_file
@database
def carry_out(token: str, as_json: bool, database_url: str, tiers_path: str) -> None:
    """Renew what a preview showed. If it is interrupted, run it again: each renewal is made once."""
    tiers = load_tiers(tiers_path)
    renewals = Renewals(engine_of(database_url), lambda: tiers)
    with bar("Renewing", len(renewals.items(token))) as more:
        done = renewals.carry_out(token, actor=operator(), progress=more)
    answer(as_json, done, lambda: _print_done(done))
    if done.left_alone:
        raise Failed(f"{number_text(len(done.left_alone), 'renewal')} left alone.", "conflict")


def _print(found: Preview, *, show_all: bool) -> None:
    shown: Sequence[Item] = found.items if show_all else found.items[:_SHOWN]
    table(
        ("line", "account", "tier", "follows", "from", "to", "credits", "reason"),
        [
            (
                str(item.line),
                item.account,
                item.tier,
                str(item.allocation),
                when(item.start),
                when(item.end),
                format_credits(item.units),
                item.reason,
            )
            for item in shown
        ],
    )
    if len(shown) < len(found.items):
        click.echo(f"  … and {len(found.items) - len(shown)} more; --all prints them.")
    if found.problems:
        click.echo("\nWrong")
        _print_problems(found.problems)
    click.echo(
        f"\n{number_text(len(found.items), 'renewal')} of {format_credits(found.units)} credits together, "
        f"{number_text(len(found.problems), 'line')} wrong."
    )
    if found.token is not None:
        click.echo(f"Nothing has been renewed yet. To do it: hubquota renew carry-out {found.token}")


def _print_done(done: Carried) -> None:
    click.echo(f"{number_text(done.renewed, 'allocation')} renewed, {done.before} before.")
    if done.left_alone:
        click.echo("Left alone, because it changed meanwhile:")
        _print_problems(done.left_alone)


def _print_problems(problems: Sequence[Problem]) -> None:
    table(
        ("line", "account", "what"), [(str(problem.line), problem.account, problem.text) for problem in problems]
    )


def _view(found: Preview) -> dict[str, object]:
    return {
        "token": found.token,
        "credits": exact_credits(found.units),
        "items": [
            {
                "line": item.line,
                "account": item.account,
                "tier": item.tier,
                "follows": item.allocation,
                "start": item.start,
                "end": item.end,
                "credits": exact_credits(item.units),
                "reason": item.reason,
            }
            for item in found.items
        ],
        "problems": found.problems,
    }
