"""`hubquota what-if`: another tiers file on the use that has been."""

from __future__ import annotations

from datetime import datetime

import click

from hubquota.commands import options
from hubquota.commands.options import LONG, TIME, engine_of
from hubquota.commands.output import answer, bar, plain, table, when
from hubquota.models.export import iso
from hubquota.models.money import format_credits
from hubquota.models.whatif import Budgets, Outcome, Sums
from hubquota.models.words import number_text
from hubquota.services.ledger import utc_now
from hubquota.services.whatif import Report, WhatIf, policy_of
from hubquota.storage.times import moment

_file = click.Path(dir_okay=False)


@click.command("what-if")
@click.option("--tiers", "path", required=True, type=_file, help="The tiers file to try.")
@click.option("--from", "since", required=True, type=TIME, help="The first day or time, in UTC.")
@click.option("--until", type=TIME, help="The first day or time after the range; now if not given.")
@click.option(
    "--budgets",
    type=click.Choice(["tier", "granted", "unlimited"]),
    default="tier",
    show_default=True,
    help="What each allocation has: its tier's budget in the file, what it was really granted, or no end.",
)
@click.option("--prices-on", type=TIME, help="The day whose prices count throughout; each start's if not given.")
@click.option("--was", type=_file, help="The tiers file that was in force, if titles of sizes have changed.")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(0), help="How many accounts to print for people."
)
@options.for_scripts
@options.database
def what_if(
    path: str,
    since: datetime,
    until: datetime | None,
    budgets: Budgets,
    prices_on: datetime | None,
    was: str | None,
    limit: int,
    as_json: bool,
    database_url: str,
) -> None:
    """Say what another tiers file would have done to the use of a range of time."""
    day = None if prices_on is None else prices_on.date()
    policy = policy_of(path, since, until or utc_now(), prices_on=day, was=was)
    service = WhatIf(engine_of(database_url, timeout=LONG))
    with bar("Replaying", service.accounts()) as done_more:
        report = service.run(policy, since, until, budgets=budgets, done=done_more)
    answer(as_json, _view(report), lambda: _tell(report, limit))


def _tell(report: Report, limit: int) -> None:
    click.echo(f"From {when(report.since)} to {when(report.until)}, budgets: {report.budgets}.\n")
    rows = [*report.tiers.items(), ("together", report.total)]
    table(
        ("tier", "leases", "charged then", "at its prices", "it would charge", "refused starts", "stopped"),
        [
            (
                name,
                str(sums.leases),
                format_credits(sums.actual, rounding="up"),
                format_credits(sums.priced, rounding="up"),
                format_credits(sums.charged, rounding="up"),
                str(sums.refused_starts),
                str(sums.stopped_leases),
            )
            for name, sums in rows
        ],
    )
    click.echo(
        f"\nOf {number_text(report.accounts, 'account')} that ran something, {report.accounts_out} would have "
        f"run out, and {sum(bool(one.refused) for one in report.outcomes)} would have had starts refused."
    )
    if report.outcomes and limit:
        click.echo()
        worst = sorted(report.outcomes, key=_lost)[:limit]
        table(
            (
                "account",
                "charged then",
                "at its prices",
                "it would charge",
                "first out of credits",
                "refused starts",
            ),
            [
                (
                    one.account,
                    format_credits(one.sums.actual, rounding="up"),
                    format_credits(one.sums.priced, rounding="up"),
                    format_credits(one.sums.charged, rounding="up"),
                    when(moment(one.ran_out[0])) if one.ran_out else "-",
                    _refusals(one),
                )
                for one in worst
            ],
        )
        if len(report.outcomes) > limit:
            click.echo(f"  and {len(report.outcomes) - limit} more; --limit or --json shows them.")
    if report.unmapped:
        click.echo("\nThese could not be mapped to the file, and keep the price that they had:")
        table(
            ("kind", "label", "leases", "credits"),
            [
                (kind, label, str(one.leases), format_credits(one.priced, rounding="up"))
                for (kind, label), one in sorted(report.unmapped.items())
            ],
        )
    click.echo("\nWhat this takes for granted:")
    for sentence in report.assumptions:
        click.echo(f"  {sentence}")


def _lost(one: Outcome) -> tuple[int, str]:
    sums: Sums = one.sums
    return -(sums.refused + sums.stopped), one.account


def _refusals(one: Outcome) -> str:
    limits: dict[str, int] = {}
    for refused in one.refused:
        limits[refused.limit] = limits.get(refused.limit, 0) + 1
    return ", ".join(f"{number} by {limit}" for limit, number in sorted(limits.items())) or "-"


def _view(report: Report) -> dict[str, object]:
    return {
        "since": iso(report.since),
        "until": iso(report.until),
        "budgets": report.budgets,
        "accounts": report.accounts,
        "accounts_out": report.accounts_out,
        "total": plain(report.total),
        "tiers": plain(report.tiers),
        "unmapped": [
            {"kind": kind, "label": label, **plain(one)} for (kind, label), one in sorted(report.unmapped.items())
        ],
        "items": [
            {
                "account": one.account,
                "kind": one.kind,
                "tiers": list(one.tiers),
                **plain(one.sums),
                "ran_out": [iso(moment(at)) for at in one.ran_out],
                "refused_by": [
                    {
                        "lease": refused.lease,
                        "person": refused.person,
                        "label": refused.label,
                        "at": iso(moment(refused.at)),
                        "limit": refused.limit,
                    }
                    for refused in one.refused
                ],
            }
            for one in report.outcomes
        ],
        "assumptions": list(report.assumptions),
    }
