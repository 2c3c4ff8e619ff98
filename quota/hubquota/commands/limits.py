"""`hubquota override`, `cap`, `change-tier` and `project sync`: who may use more or less than their tier says."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import httpx
from sqlalchemy.exc import SQLAlchemyError

from hubquota.hub.api import HubApi
from hubquota.models.ledger import ConflictingAccountError, UnknownOverrideError
from hubquota.models.money import format_credits, to_units
from hubquota.models.overrides import Overridden, Override
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine

_database = click.option(
    "--database-url",
    envvar="HUBQUOTA_DATABASE_URL",
    required=True,
    help="The ledger's database, such as sqlite:////srv/quota/ledger.sqlite.",
)
_tiers = click.option(
    "--tiers", "tiers_path", envvar="HUBQUOTA_TIERS", required=True, help="The tiers file.", metavar="FILE"
)
_why = click.option("--reason", required=True, help="Why; whom it concerns reads it.")
_key = click.option("--key", required=True, help="A name for this act: a second one of that name does nothing.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def override() -> None:
    """Other limits than the tier's, for an account or one person on it, until a date."""


@override.command("give")
@click.argument("account")
@click.option("--person", help="Whom it is for; everybody who draws on the account if not given.")
@click.option("--size", "sizes", multiple=True, help="A size to offer besides the tier's; may be repeated.")
@click.option("--servers", type=click.IntRange(0), help="How many servers one person may run at once.")
@click.option("--clusters", type=click.IntRange(0), help="How many Dask clusters may run at once.")
@click.option("--workers", type=click.IntRange(0), help="How many Dask workers may run at once.")
@click.option("--idle-stop-minutes", type=click.IntRange(1), help="When a server without activity is stopped.")
@click.option("--longest-session-hours", type=click.IntRange(1), help="When any server is stopped.")
@click.option("--until", type=_DAY, required=True, help="From when on it does not count any more (UTC).")
@_why
@_key
@_tiers
@_database
def give(
    account: str,
    person: str | None,
    sizes: tuple[str, ...],
    until: datetime,
    reason: str,
    key: str,
    tiers_path: str,
    database_url: str,
    **limits: int | None,
) -> None:
    """Give an override. What it does not name stays as the tier has it."""
    tiers = load_tiers(tiers_path)
    for size in sizes:
        if size not in tiers.sizes:
            raise click.BadParameter(f"there is no size '{size}'; allowed: {', '.join(tiers.sizes)}")
    wanted = {name: value for name, value in limits.items() if value is not None}
    if not wanted and not sizes:
        raise click.UsageError("Name one limit at least, such as --workers 40.")
    given = _ledger(database_url).give_override(
        account,
        Overridden.model_validate({"sizes": sizes, **wanted}),
        until.replace(tzinfo=UTC),
        actor=_actor(),
        reason=reason,
        key=key,
        person=person,
    )
    _print([given])


@override.command("withdraw")
@click.argument("number", type=int)
@_why
@_database
def withdraw(number: int, reason: str, database_url: str) -> None:
    """End an override before its date."""
    try:
        _print([_ledger(database_url).withdraw_override(number, actor=_actor(), reason=reason)])
    except UnknownOverrideError as error:
        raise click.ClickException(str(error)) from error


@override.command("list")
@click.argument("account", required=False)
@click.option("--former", is_flag=True, help="Also those that are over or withdrawn.")
@_json
@_database
def list_overrides(account: str | None, former: bool, as_json: bool, database_url: str) -> None:
    """Print the overrides in force, of one account or of all."""
    found = _ledger(database_url).overrides(account, former=former)
    if as_json:
        rows = [{**asdict(one), "limits": one.limits.model_dump(exclude_defaults=True)} for one in found]
        click.echo(json.dumps(rows, default=_plain, indent=2))
    else:
        _print(found)


@click.group()
def cap() -> None:
    """What one member may use of a project."""


@cap.command("set")
@click.argument("project")
@click.argument("member")
@click.option("--credits", "amount", help="Credits that they may spend in a term.")
@click.option("--workers", type=click.IntRange(0), help="How many Dask workers they may run at once.")
@_why
@_database
def set_cap(
    project: str, member: str, amount: str | None, workers: int | None, reason: str, database_url: str
) -> None:
    """Cap a member; it takes the place of the cap that they had."""
    if amount is None and workers is None:
        raise click.UsageError("Give --credits, --workers or both; `hubquota cap lift` takes a cap away.")
    ledger = _ledger(database_url)
    units = None if amount is None else to_units(amount)
    ledger.set_cap(project, member, credits=units, workers=workers, actor=_actor(), reason=reason)
    _print_use(ledger, project)


@cap.command("lift")
@click.argument("project")
@click.argument("member")
@_why
@_database
def lift_cap(project: str, member: str, reason: str, database_url: str) -> None:
    """Take a member's cap away."""
    ledger = _ledger(database_url)
    ledger.set_cap(project, member, actor=_actor(), reason=reason)
    _print_use(ledger, project)


@cap.command("list")
@click.argument("project")
@_json
@_database
def list_caps(project: str, as_json: bool, database_url: str) -> None:
    """Print what each member has used of a project in the terms that are on, and their caps."""
    ledger = _ledger(database_url)
    if as_json:
        click.echo(json.dumps([asdict(use) for use in ledger.member_use(project)], default=_plain, indent=2))
    else:
        _print_use(ledger, project)


@click.command("change-tier")
@click.argument("account")
@click.argument("tier")
@click.option("--credits", "amount", help="What it is granted; the tier's budget if not given.")
@click.option("--end", type=_DAY, help="When the term ends (UTC); the tier's `term_days` from now if not given.")
@click.option("--keep", is_flag=True, help="Let the account's other allocations go on.")
@_why
@_key
@_tiers
@_database
def change_tier(
    account: str,
    tier: str,
    amount: str | None,
    end: datetime | None,
    keep: bool,
    reason: str,
    key: str,
    tiers_path: str,
    database_url: str,
) -> None:
    """Move an account to another tier: open an allocation of it, and end the others."""
    tiers = load_tiers(tiers_path)
    if tier not in tiers.tiers:
        raise click.BadParameter(f"there is no tier '{tier}'; allowed: {', '.join(tiers.tiers)}")
    chosen = tiers.tiers[tier]
    opened = _ledger(database_url).change_tier(
        account,
        tier,
        chosen.budget_units if amount is None else to_units(amount),
        actor=_actor(),
        reason=reason,
        key=key,
        end=utc_now() + timedelta(days=chosen.term_days) if end is None else end.replace(tzinfo=UTC),
        renewable=chosen.renewable,
        keep=keep,
    )
    click.echo(
        f"{account} is on the tier {tier}: allocation {opened.id}, {format_credits(opened.balance)} credits until "
        f"{opened.end:%Y-%m-%d}."
    )


@click.command("sync")
@click.option("--hub-url", envvar="JUPYTERHUB_API_URL", required=True, help="The hub's REST API.")
@click.option("--hub-token", envvar="JUPYTERHUB_API_TOKEN", required=True, help="A token for it.")
@_tiers
@_database
def project_sync(hub_url: str, hub_token: str, tiers_path: str, database_url: str) -> None:
    """Bring the members of all projects into step with the hub's groups, by the rules of the tiers file."""
    tiers, ledger = load_tiers(tiers_path), _ledger(database_url)
    headers = {"Authorization": f"token {hub_token}"}
    with httpx.Client(base_url=f"{hub_url.rstrip('/')}/", headers=headers, timeout=30) as client:
        try:
            groups = dict(HubApi(client).groups())
        except httpx.HTTPError as error:
            raise click.ClickException(f"The hub's groups cannot be read: {error}") from error
    found = tiers.projects.of_groups(groups)
    changed = 0
    for name, (tier, _) in found.items():
        members, pis = tiers.projects.people_of(name, groups)
        try:
            changed += ledger.sync_members(name, members, pis, tier=tier)
        except ConflictingAccountError as error:
            click.echo(str(error), err=True)
    changed += ledger.end_group_memberships(besides=found)
    click.echo(f"{len(found)} projects follow from groups; {changed} memberships were opened or ended.")


def _ledger(database_url: str) -> Ledger:
    try:
        return Ledger(make_engine(database_url))
    except (ValueError, SQLAlchemyError) as error:
        raise click.BadParameter(str(error), param_hint="--database-url") from error


def _actor() -> str:
    return f"{getpass.getuser()} (hubquota)"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _print(found: Sequence[Override]) -> None:
    for one in found:
        limits = ", ".join(
            f"{name} {' '.join(value) if isinstance(value, tuple) else value}"
            for name, value in one.limits.model_dump(exclude_defaults=True).items()
        )
        whom = f"{one.person} on {one.account}" if one.person else one.account
        click.echo(
            f"{one.id}  {whom}: {limits}; until {one.until:%Y-%m-%d %H:%M} UTC, {one.given_by}: {one.reason}"
        )
        if one.withdrawn_at is not None:
            at = f"{one.withdrawn_at:%Y-%m-%d %H:%M} UTC"
            click.echo(f"   withdrawn {at}, {one.withdrawn_by}: {one.withdrawn_reason}")
    if not found:
        click.echo("  nothing")


def _print_use(ledger: Ledger, project: str) -> None:
    for use in ledger.member_use(project):
        credits_ = "no cap" if use.left is None else f"{format_credits(use.left)} left"
        workers = "" if use.cap is None or use.cap.workers is None else f", {use.cap.workers} workers at once"
        spent, taken = format_credits(use.spent, rounding="up"), format_credits(use.taken, rounding="up")
        click.echo(f"{use.member}: {spent} credits spent, {taken} taken by what runs, {credits_}{workers}")
