"""`hubquota purge`: plans of what to take from accounts whose time is over, and carrying them out."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hubquota.commands import options
from hubquota.commands.door import Failed
from hubquota.commands.options import actor, engine_of
from hubquota.commands.output import answer, bar, listed, table, when
from hubquota.commands.purge_back import hold, holds, release, restore
from hubquota.commands.purge_parts import day, item_table, purge_of, really, register_of, settings_file
from hubquota.models.purge import Plan, Stage, stages_table
from hubquota.models.purge_settings import PurgeSettings
from hubquota.models.words import bytes_text, number_text
from hubquota.services.base import utc_now
from hubquota.services.purge import Draft, PurgeRegister, Step
from hubquota.services.purge_schedule import ScheduledPurge
from hubquota.services.settingsfile import load_settings

#: How often what is next for a thing goes through its bytes: to archive them, or to verify and to delete them.
_PASSES = {Stage.PLANNED: 1, Stage.NOTICED: 1, Stage.QUARANTINED: 2}


@click.group()
def purge() -> None:
    """What is taken from accounts whose grace is over, and how it comes back. Nothing is done without --really."""


@purge.command("plan")
@really
@options.for_scripts
@settings_file
@options.tiers_file
@options.database
def make_plan(really: bool, as_json: bool, settings_path: str, tiers_path: str, database_url: str) -> None:
    """Find what there is to purge; with --really, write it down as a plan for review."""
    with bar("Looking", None) as more:
        service = purge_of(database_url, tiers_path, settings_path)
        draft = service.plan(by=actor(None), dry_run=not really, looked=lambda _: more(1))
    answer(as_json, draft, lambda: _tell_draft(draft, service))


@purge.command("list")
@click.option("--before", type=int, help="Only plans older than this one: the last of the page before.")
@options.limit
@options.for_scripts
@options.database
def list_plans(before: int | None, limit: int, as_json: bool, database_url: str) -> None:
    """List plans, the newest first."""
    some = register_of(database_url).plans(limit=limit + 1, before=before)
    found, following = some[:limit], some[limit - 1].id if len(some) > limit else None

    def tell() -> None:
        table(
            ("plan", "made", "by", "accounts", "things", "size", "state"),
            [
                (
                    str(plan.id),
                    day(plan.made_at),
                    plan.made_by,
                    str(plan.accounts),
                    str(plan.items),
                    bytes_text(plan.bytes),
                    _where(plan),
                )
                for plan in found
            ],
        )
        if following is not None:
            click.echo(f"There are more: add `--before {following}`.")

    answer(as_json, listed(found, following), tell)


@purge.command()
@click.argument("plan", type=int)
@click.option("--events", "with_events", is_flag=True, help="Also print what was done, and by whom.")
@options.for_scripts
@options.database
def show(plan: int, with_events: bool, as_json: bool, database_url: str) -> None:
    """Print a plan: what, whose, how much, why, and how far it has come."""
    register = register_of(database_url)
    found, items = register.read(plan)
    events = register.events(plan) if with_events else []

    def tell() -> None:
        click.echo(f"Plan {plan}, made on {day(found.made_at)} by {found.made_by}: {_where(found)}.")
        click.echo(f"Digest {found.digest}\n")
        item_table(items)
        if with_events:
            click.echo("")
            table(
                ("at", "thing", "what", "by", "text"),
                [(when(one.at), str(one.item or "-"), one.kind, one.actor, one.text) for one in events],
            )

    answer(as_json, {"plan": found, "items": items, "events": events}, tell)


@purge.command()
@click.argument("plan", type=int)
@click.option("--digest", required=True, help="The plan's digest, or its beginning: says that you have read it.")
@click.option("--override", metavar="REASON", help="Why it may pass the limits on how many accounts are purged.")
@options.for_scripts
@settings_file
@options.tiers_file
@options.database
def approve(
    plan: int,
    digest: str,
    override: str | None,
    as_json: bool,
    settings_path: str,
    tiers_path: str,
    database_url: str,
) -> None:
    """Let a plan be carried out."""
    service = purge_of(database_url, tiers_path, settings_path)
    made = service.approve(plan, by=actor(None), digest=digest, override=override)

    def tell() -> None:
        click.echo(f"Plan {plan} is approved: {number_text(made.items, 'thing')}, {bytes_text(made.bytes)}.")

    answer(as_json, made, tell)


@purge.command()
@click.argument("plan", type=int)
@click.option("--reason", required=True, help="Why; the owners of what it names read it.")
@options.for_scripts
@options.database
def cancel(plan: int, reason: str, as_json: bool, database_url: str) -> None:
    """Stop a plan. The next run gives back what it has moved aside."""
    register = register_of(database_url)
    register.cancel(plan, by=actor(None), reason=reason)

    def tell() -> None:
        click.echo(f"Plan {plan} is cancelled. `hubquota purge run --really` gives back what it has moved aside.")

    answer(as_json, register.read(plan)[0], tell)


@purge.command()
@click.argument("plans", type=int, nargs=-1)
@really
@options.for_scripts
@settings_file
@options.tiers_file
@options.database
def run(
    plans: tuple[int, ...], really: bool, as_json: bool, settings_path: str, tiers_path: str, database_url: str
) -> None:
    """Do what is due under approved plans: all, or those of the numbers given. Run it once a day."""
    ahead = _bytes_ahead(register_of(database_url), plans) if really else None
    with bar("Purging", ahead) as more:
        service = purge_of(database_url, tiers_path, settings_path, more)
        steps = service.advance(plans or None, dry_run=not really)

    def tell() -> None:
        table(("thing", "account", "name", "what", "now", "why"), [_row(step) for step in steps])
        if steps and not really:
            click.echo("Nothing was done. Add --really to do it.")

    answer(as_json, {"really": really, "steps": steps}, tell)
    failed = sum(step.failure is not None for step in steps)
    if failed:
        raise Failed(f"{number_text(failed, 'thing')} could not be dealt with; the next run tries again.", "purge")


@purge.command()
@really
@options.for_scripts
@settings_file
@options.tiers_file
@options.database
def daily(really: bool, as_json: bool, settings_path: str, tiers_path: str, database_url: str) -> None:
    """Do a day's run by the file's `schedule`, as the watch does: make a plan, and do what is due. For cron.

    It runs when it is called, whatever time of day the file says. A plan is made only where none waits, and by the
    file's word on plans.
    """
    if load_settings(settings_path, PurgeSettings).schedule is None:
        raise click.ClickException(
            f"{settings_path} has no `schedule`, so nothing is done by itself: give it one, or use "
            "`hubquota purge plan` and `hubquota purge run`."
        )
    service = purge_of(database_url, tiers_path, settings_path)
    if really:
        by_itself = ScheduledPurge(
            engine_of(database_url), lambda: load_settings(settings_path, PurgeSettings), lambda _: service
        )
        done = by_itself.run_due()
        steps, made = (done.steps, done.made) if done is not None else ((), None)
    else:
        draft = service.plan(by=actor(None), dry_run=True)
        steps, made = tuple(service.advance(dry_run=True)), None

    def tell() -> None:
        if not really:
            _tell_draft(draft, service)
        elif made is not None:
            click.echo(f"Plan {made} was made.")
        table(("thing", "account", "name", "what", "now", "why"), [_row(step) for step in steps])
        if not really:
            click.echo("Nothing was done. Add --really to do it.")

    answer(as_json, {"really": really, "made": made, "steps": steps}, tell)
    failed = sum(step.failure is not None for step in steps)
    if failed:
        raise Failed(f"{number_text(failed, 'thing')} could not be dealt with; the next run tries again.", "purge")


@purge.command()
def stages() -> None:
    """Print the stages of what is purged, and who may move it, as Markdown tables."""
    click.echo(stages_table(), nl=False)


for _command in (hold, release, holds, restore):
    purge.add_command(_command)


def _tell_draft(draft: Draft, register: PurgeRegister) -> None:
    table(
        ("account", "adapter", "name", "size", "files", "newest"),
        [
            (
                one.account,
                one.adapter,
                one.name,
                bytes_text(one.seen.bytes),
                str(one.seen.files),
                day(one.seen.newest),
            )
            for one in draft.found
        ],
    )
    total = bytes_text(sum(one.seen.bytes for one in draft.found))
    accounts = number_text(len({one.account for one in draft.found}), "account")
    click.echo(f"{number_text(len(draft.found), 'thing')} of {accounts}, {total} together.")
    for problem in draft.problems:
        click.echo(f"Could not be looked at: {problem}", err=True)
    if draft.plan is not None:
        digest = register.read(draft.plan)[0].digest[:12]
        click.echo(
            f"This is plan {draft.plan}. Review it, then: hubquota purge approve {draft.plan} --digest {digest}"
        )
    elif draft.found:
        click.echo("Nothing was written down. Add --really to make a plan of it.")


def _bytes_ahead(register: PurgeRegister, plans: Sequence[int]) -> int:
    """Return about how many bytes there are to archive, verify and delete, for a bar."""
    numbers = plans or [plan.id for plan in register.plans(limit=1_000) if plan.approved_at is not None]
    items = [item for number in numbers for item in register.read(number)[1] if item.stage in _PASSES]
    return sum(
        item.seen.bytes * _PASSES[item.stage] for item in items if item.due is None or item.due <= utc_now()
    )


def _where(plan: Plan) -> str:
    if plan.closed_reason is not None:
        return plan.closed_reason
    if plan.approved_at is None:
        return "waits for approval"
    passed_over = f", past the limits: {plan.override}" if plan.override else ""
    return f"approved on {day(plan.approved_at)} by {plan.approved_by}{passed_over}"


def _row(step: Step) -> tuple[str, ...]:
    item = step.item
    what = "failed" if step.failure is not None else str(step.act)
    why = step.failure or step.reason or item.why
    return str(item.id), item.account, item.name, what, item.stage, why
