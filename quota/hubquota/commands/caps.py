"""`hubquota project cap`: what one member may use of a project."""

from __future__ import annotations

import click

from hubquota.commands import options
from hubquota.commands.options import credits_at_least_zero, ledger_of, operator
from hubquota.commands.output import answer, listed, plain, table
from hubquota.models.caps import MemberUse
from hubquota.models.money import exact_credits, format_credits


@click.group()
def cap() -> None:
    """What one member may use of a project."""


@cap.command("set")
@click.argument("project")
@click.argument("member")
@click.option("--credits", "units", type=credits_at_least_zero("a cap"), help="What they may spend in a term.")
@click.option("--workers", type=click.IntRange(0), help="How many Dask workers they may run at once.")
@options.why
@options.for_scripts
@options.database
def set_cap(
    project: str,
    member: str,
    units: int | None,
    workers: int | None,
    reason: str,
    as_json: bool,
    database_url: str,
) -> None:
    """Cap a member; it takes the place of the cap that they had."""
    if units is None and workers is None:
        raise click.UsageError("Give --credits, --workers or both; `hubquota project cap lift` takes a cap away.")
    ledger = ledger_of(database_url)
    ledger.set_cap(project, member, credits=units, workers=workers, actor=operator(), reason=reason)
    _tell(as_json, ledger.member_use(project))


@cap.command("lift")
@click.argument("project")
@click.argument("member")
@options.why
@options.for_scripts
@options.database
def lift_cap(project: str, member: str, reason: str, as_json: bool, database_url: str) -> None:
    """Take a member's cap away."""
    ledger = ledger_of(database_url)
    ledger.set_cap(project, member, actor=operator(), reason=reason)
    _tell(as_json, ledger.member_use(project))


@cap.command("list")
@click.argument("project")
@options.for_scripts
@options.database
def list_caps(project: str, as_json: bool, database_url: str) -> None:
    """Print what each member has used of a project in the terms that are on, and their caps."""
    _tell(as_json, ledger_of(database_url).member_use(project))


def _tell(as_json: bool, found: list[MemberUse]) -> None:
    def tell() -> None:
        table(
            ("member", "spent", "taken by what runs", "left", "workers at once"),
            [
                (
                    use.member,
                    format_credits(use.spent, rounding="up"),
                    format_credits(use.taken, rounding="up"),
                    "no cap" if use.left is None else format_credits(use.left),
                    "no cap" if use.cap is None or use.cap.workers is None else str(use.cap.workers),
                )
                for use in found
            ],
        )

    answer(as_json, listed([_view(use) for use in found]), tell)


def _view(use: MemberUse) -> dict[str, object]:
    """Return a member's use as scripts get it, with what the cap leaves."""
    return {**plain(use), "left": None if use.left is None else exact_credits(use.left)}
