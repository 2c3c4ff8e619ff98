"""`hubquota override`: other limits than the tier's, until a date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from hubquota.commands import options
from hubquota.commands.options import TIME, ledger_of, operator
from hubquota.commands.output import answer, listed, plain, table, when
from hubquota.models.overrides import Overridden, Override
from hubquota.services.tiersfile import load_tiers


@click.group()
def override() -> None:
    """Other limits than the tier's, for an account or one person on it, until a date."""


@override.command()
@click.argument("account")
@click.option("--person", help="Whom it is for; everybody who draws on the account if not given.")
@click.option("--size", "sizes", multiple=True, help="A size to offer besides the tier's; may be repeated.")
@click.option("--servers", type=click.IntRange(0), help="How many servers one person may run at once.")
@click.option("--clusters", type=click.IntRange(0), help="How many Dask clusters may run at once.")
@click.option("--workers", type=click.IntRange(0), help="How many Dask workers may run at once.")
@click.option("--idle-stop-minutes", type=click.IntRange(1), help="When a server without activity is stopped.")
@click.option("--longest-session-hours", type=click.IntRange(1), help="When any server is stopped.")
@click.option("--until", type=TIME, required=True, help="From when on it does not count any more (UTC).")
@options.why
@options.key
@options.for_scripts
@options.tiers_file
@options.database
def give(
    account: str,
    person: str | None,
    sizes: tuple[str, ...],
    until: datetime,
    reason: str,
    key: str,
    as_json: bool,
    tiers_path: str,
    database_url: str,
    **limits: int | None,
) -> None:
    """Give an override. What it does not name stays as the tier has it."""
    tiers = load_tiers(tiers_path)
    for size in sizes:
        if size not in tiers.sizes:
            raise click.BadParameter(
                f"there is no size '{size}'; there are: {', '.join(tiers.sizes)}", param_hint="--size"
            )
    wanted = {name: value for name, value in limits.items() if value is not None}
    if not wanted and not sizes:
        raise click.UsageError("Name one limit at least, such as --workers 40.")
    overridden = Overridden.model_validate({"sizes": sizes, **wanted})
    given = ledger_of(database_url).give_override(
        account, overridden, until, actor=operator(), reason=reason, key=key, person=person
    )
    answer(as_json, _view(given), lambda: _table([given]))


@override.command()
@click.argument("number", type=int)
@options.why
@options.for_scripts
@options.database
def withdraw(number: int, reason: str, as_json: bool, database_url: str) -> None:
    """End an override before its date."""
    found = ledger_of(database_url).withdraw_override(number, actor=operator(), reason=reason)
    answer(as_json, _view(found), lambda: _table([found]))


@override.command("list")
@click.argument("account", required=False)
@click.option("--former", is_flag=True, help="Also those that are over or withdrawn.")
@options.for_scripts
@options.database
def list_overrides(account: str | None, former: bool, as_json: bool, database_url: str) -> None:
    """Print the overrides in force, of one account or of all."""
    found = ledger_of(database_url).overrides(account, former=former)
    answer(as_json, listed([_view(one) for one in found]), lambda: _table(found))


def _view(given: Override) -> dict[str, object]:
    """Return an override as scripts get it: of the limits, those that it changes."""
    return {**plain(given), "limits": plain(given.limits.model_dump(exclude_defaults=True))}


def _table(found: Sequence[Override]) -> None:
    table(
        ("number", "account", "person", "limits", "until", "by", "reason", "withdrawn"),
        [
            (
                str(one.id),
                one.account,
                one.person or "all",
                _limits(one),
                when(one.until),
                one.given_by,
                one.reason,
                f"{when(one.withdrawn_at)} by {one.withdrawn_by}: {one.withdrawn_reason}"
                if one.withdrawn_at is not None
                else "-",
            )
            for one in found
        ],
    )


def _limits(given: Override) -> str:
    changed = given.limits.model_dump(exclude_defaults=True)
    return ", ".join(
        f"{name} {' '.join(value) if isinstance(value, tuple) else value}" for name, value in changed.items()
    )
