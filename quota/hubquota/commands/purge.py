"""`hubquota purge`: plans of what to take from accounts whose time is over, and the way back."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from hubquota.models.purge import Item, Plan, PurgeError, Stage, stages_table
from hubquota.models.requests import Actor, NotAllowedError
from hubquota.models.words import bytes_text, number_text
from hubquota.purge.adapter import load_adapters
from hubquota.services.base import utc_now
from hubquota.services.purge import Purge, PurgeRegister, Step
from hubquota.services.purge_base import nothing
from hubquota.services.purge_file import load_purge_settings
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine

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
_settings = click.option(
    "--settings",
    "settings_path",
    envvar="HUBQUOTA_PURGE",
    required=True,
    type=click.Path(dir_okay=False),
    help="The purge's settings file.",
)
_for_scripts = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts, with times in UTC.")
_really = click.option("--really", is_flag=True, help="Do it. Without this, it is only said what would be done.")
_acting_as = click.option(
    "--as", "person", help="Act as this person, with no more rights than theirs; an administrator if not given."
)

#: How often what is next for a thing goes through its bytes: to archive them, or to verify and to delete them.
_PASSES = {Stage.PLANNED: 1, Stage.NOTICED: 1, Stage.QUARANTINED: 2}


class _Group(click.Group):
    """Says what went wrong in a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SQLAlchemyError:
            raise
        except (PurgeError, NotAllowedError, ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
def purge() -> None:
    """What is taken from accounts whose grace is over, and how it comes back. Nothing is done without --really."""


@purge.command("plan")
@_really
@_for_scripts
@_settings
@_tiers
@_database
def make_plan(really: bool, as_json: bool, settings_path: str, tiers_path: str, database_url: str) -> None:
    """Find what there is to purge; with --really, write it down as a plan for review."""
    with _bar("Looking", None) as more:
        service = _purge(database_url, tiers_path, settings_path)
        draft = service.plan(by=_operator(), dry_run=not really, looked=lambda _: more(1))
    if as_json:
        _print_json(draft)
        return
    rows = [
        (
            one.account,
            one.adapter,
            one.name,
            bytes_text(one.seen.bytes),
            str(one.seen.files),
            _day(one.seen.newest),
        )
        for one in draft.found
    ]
    _table(("account", "adapter", "name", "size", "files", "newest"), rows)
    total = bytes_text(sum(one.seen.bytes for one in draft.found))
    accounts = number_text(len({one.account for one in draft.found}), "account")
    click.echo(f"{number_text(len(draft.found), 'thing')} of {accounts}, {total} together.")
    for problem in draft.problems:
        click.echo(f"Could not be looked at: {problem}", err=True)
    if draft.plan is not None:
        digest = service.read(draft.plan)[0].digest[:12]
        click.echo(
            f"This is plan {draft.plan}. Review it, then: hubquota purge approve {draft.plan} --digest {digest}"
        )
    elif draft.found:
        click.echo("Nothing was written down. Add --really to make a plan of it.")


@purge.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="How many at most.")
@_for_scripts
@_database
def list_plans(limit: int, as_json: bool, database_url: str) -> None:
    """List plans, the newest first."""
    found = _register(database_url).plans(limit=limit)
    if as_json:
        _print_json({"items": found, "next": None})
        return
    rows = [
        (
            str(plan.id),
            _day(plan.made_at),
            plan.made_by,
            str(plan.accounts),
            str(plan.items),
            bytes_text(plan.bytes),
            _where(plan),
        )
        for plan in found
    ]
    _table(("plan", "made", "by", "accounts", "things", "size", "state"), rows)


@purge.command()
@click.argument("plan", type=int)
@click.option("--events", "with_events", is_flag=True, help="Also print what was done, and by whom.")
@_for_scripts
@_database
def show(plan: int, with_events: bool, as_json: bool, database_url: str) -> None:
    """Print a plan: what, whose, how much, why, and how far it has come."""
    register = _register(database_url)
    found, items = register.read(plan)
    events = register.events(plan) if with_events else []
    if as_json:
        _print_json({"plan": found, "items": items, "events": events})
        return
    click.echo(f"Plan {plan}, made on {_day(found.made_at)} by {found.made_by}: {_where(found)}.")
    click.echo(f"Digest {found.digest}\n")
    _print_items(items)
    if with_events:
        click.echo("")
        rows = [
            (f"{one.at:%Y-%m-%d %H:%M:%S}", str(one.item or "-"), one.kind, one.actor, one.text) for one in events
        ]
        _table(("at", "thing", "what", "by", "text"), rows)


@purge.command()
@click.argument("plan", type=int)
@click.option("--digest", required=True, help="The plan's digest, or its beginning: says that you have read it.")
@click.option("--override", metavar="REASON", help="Why it may pass the limits on how many accounts are purged.")
@_settings
@_tiers
@_database
def approve(
    plan: int, digest: str, override: str | None, settings_path: str, tiers_path: str, database_url: str
) -> None:
    """Let a plan be carried out."""
    service = _purge(database_url, tiers_path, settings_path)
    made = service.approve(plan, by=_operator(), digest=digest, override=override)
    click.echo(f"Plan {plan} is approved: {number_text(made.items, 'thing')}, {bytes_text(made.bytes)}.")


@purge.command()
@click.argument("plan", type=int)
@click.option("--reason", required=True, help="Why; the owners of what it names read it.")
@_database
def cancel(plan: int, reason: str, database_url: str) -> None:
    """Stop a plan. The next run gives back what it has moved aside."""
    _register(database_url).cancel(plan, by=_operator(), reason=reason)
    click.echo(f"Plan {plan} is cancelled. `hubquota purge run --really` gives back what it has moved aside.")


@purge.command()
@click.argument("plans", type=int, nargs=-1)
@_really
@_for_scripts
@_settings
@_tiers
@_database
def run(
    plans: tuple[int, ...], really: bool, as_json: bool, settings_path: str, tiers_path: str, database_url: str
) -> None:
    """Do what is due under approved plans: all, or those of the numbers given. Run it once a day."""
    with _bar("Purging", _bytes_ahead(database_url, plans) if really else None) as more:
        service = _purge(database_url, tiers_path, settings_path, more)
        steps = service.advance(plans or None, dry_run=not really)
    failed = [step for step in steps if step.failure is not None]
    if as_json:
        _print_json({"really": really, "steps": steps})
    else:
        _table(("thing", "account", "name", "what", "now", "why"), [_row(step) for step in steps])
        if steps and not really:
            click.echo("Nothing was done. Add --really to do it.")
    if failed:
        things = number_text(len(failed), "thing")
        raise click.ClickException(f"{things} could not be dealt with; the next run tries again.")


@purge.command()
@click.argument("account")
@click.option("--reason", required=True, help="Why; the account's owner reads it.")
@_acting_as
@_database
def hold(account: str, reason: str, person: str | None, database_url: str) -> None:
    """Put an account on hold: nothing of it is purged until that is lifted."""
    new = _register(database_url).hold(account, by=_actor(person), reason=reason)
    click.echo(f"{account} is on hold." if new else f"{account} was on hold already.")


@purge.command()
@click.argument("account")
@_acting_as
@_database
def release(account: str, person: str | None, database_url: str) -> None:
    """Lift the hold on an account."""
    lifted = _register(database_url).release(account, by=_actor(person))
    click.echo(f"{account} is no longer on hold." if lifted else f"{account} was not on hold.")


@purge.command()
@_for_scripts
@_database
def holds(as_json: bool, database_url: str) -> None:
    """List the accounts on hold."""
    found = _register(database_url).holds()
    if as_json:
        _print_json({"items": found, "next": None})
        return
    rows = [(one.account, _day(one.placed_at), one.placed_by, one.reason) for one in found]
    _table(("account", "since", "by", "reason"), rows)


@purge.command()
@click.argument("account")
@click.option("--thing", "number", type=int, help="Only the thing of this number; all if not given.")
@_acting_as
@_really
@_for_scripts
@_settings
@_tiers
@_database
def restore(
    account: str,
    number: int | None,
    person: str | None,
    really: bool,
    as_json: bool,
    settings_path: str,
    tiers_path: str,
    database_url: str,
) -> None:
    """Bring back what was taken from an account, out of the quarantine or the archive."""
    found = [
        item
        for item in _register(database_url).items_of(account)
        if item.stage in (Stage.QUARANTINED, Stage.DELETED) and number in (None, item.id)
    ]
    if not found:
        raise PurgeError(f"There is nothing of {account} to bring back.")
    if really:
        with _bar("Restoring", sum(item.seen.bytes for item in found)) as more:
            service = _purge(database_url, tiers_path, settings_path, more)
            found = [service.restore(item.id, by=_actor(person)) for item in found]
    if as_json:
        _print_json({"really": really, "items": found})
        return
    _print_items(found)
    if not really:
        click.echo("Nothing was brought back. Add --really to do it.")


@purge.command()
def stages() -> None:
    """Print the stages of what is purged, and who may move it, as Markdown tables."""
    click.echo(stages_table(), nl=False)


# Parts -------------------------------------------------------------------------------------------------


def _register(database_url: str) -> PurgeRegister:
    try:
        return PurgeRegister(make_engine(database_url))
    except (ValueError, SQLAlchemyError) as error:
        raise click.BadParameter(str(error), param_hint="--database-url") from error


def _purge(
    database_url: str, tiers_path: str, settings_path: str, progress: Callable[[int], None] = nothing
) -> Purge:
    settings = load_purge_settings(settings_path)
    graces = {name: tier.grace_days for name, tier in load_tiers(tiers_path).tiers.items()}
    return Purge(make_engine(database_url), settings, load_adapters(settings), graces, progress=progress)


def _operator() -> Actor:
    return Actor(f"{getpass.getuser()} (hubquota)", admin=True)


def _actor(person: str | None) -> Actor:
    return _operator() if person is None else Actor(person)


def _bytes_ahead(database_url: str, plans: Sequence[int]) -> int:
    """Return about how many bytes there are to archive, verify and delete, for a bar."""
    register = _register(database_url)
    numbers = plans or [plan.id for plan in register.plans(limit=1_000) if plan.approved_at is not None]
    items = [item for number in numbers for item in register.read(number)[1] if item.stage in _PASSES]
    return sum(
        item.seen.bytes * _PASSES[item.stage] for item in items if item.due is None or item.due <= utc_now()
    )


@contextmanager
def _bar(label: str, length: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far long work has come, where the standard error stream is a terminal."""
    hidden = not sys.stderr.isatty() or length is None
    with click.progressbar(length=max(1, length or 1), label=label, file=sys.stderr, hidden=hidden) as shown:
        yield shown.update


def _where(plan: Plan) -> str:
    if plan.closed_reason is not None:
        return plan.closed_reason
    if plan.approved_at is None:
        return "waits for approval"
    passed_over = f", past the limits: {plan.override}" if plan.override else ""
    return f"approved on {_day(plan.approved_at)} by {plan.approved_by}{passed_over}"


def _row(step: Step) -> tuple[str, ...]:
    item = step.item
    what = "failed" if step.failure is not None else str(step.act)
    why = step.failure or step.reason or item.why
    return str(item.id), item.account, item.name, what, item.stage, why


def _print_items(items: Sequence[Item]) -> None:
    rows = [
        (
            str(item.id),
            item.account,
            item.adapter,
            item.name,
            bytes_text(item.seen.bytes),
            str(item.seen.files),
            item.stage,
            _day(item.due),
            item.place or item.reason or item.why,
        )
        for item in items
    ]
    _table(("thing", "account", "adapter", "name", "size", "files", "stage", "next", "where or why"), rows)


def _day(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        click.echo("  nothing")
        return
    widths = [max(len(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    for line in (heads, *rows):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo(f"  {'  '.join(cells)}".rstrip())


def _print_json(value: object) -> None:
    click.echo(json.dumps(_plain(value)))


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value
