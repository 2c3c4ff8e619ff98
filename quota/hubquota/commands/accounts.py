"""`hubquota account`: who has what."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

import click

from hubquota.commands import options
from hubquota.commands.allocations import allocation_table
from hubquota.commands.burndown import burn_down
from hubquota.commands.leases import lease_table, lease_views
from hubquota.commands.options import (
    TIME,
    credits_above_zero,
    credits_at_least_zero,
    engine_of,
    ledger_of,
    operator,
)
from hubquota.commands.output import answer, plain, table, when
from hubquota.models.ledger import AccountKind
from hubquota.models.money import format_credits
from hubquota.models.reading import AccountOrder, AccountQuery, AccountState
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.tiersfile import load_tiers

_GRANT = credits_above_zero("a grant")
_BALANCE = credits_at_least_zero("a balance to compare with")


@click.group()
def account() -> None:
    """Accounts of users and of projects."""


account.add_command(burn_down)


@account.command("list")
@click.option("--search", default="", help="Only accounts whose name contains this, in any case.")
@click.option("--kind", type=click.Choice(["user", "project"]), help="Only accounts of this kind.")
@click.option("--tier", help="Only accounts with an allocation of this tier that pays now.")
@click.option("--state", type=click.Choice(get_args(AccountState)), help="Only accounts in this state.")
@click.option("--ends-before", type=TIME, help="Only accounts with an allocation that ends before this (UTC).")
@click.option("--balance-below", type=_BALANCE, help="Only accounts with fewer credits than this.")
@click.option(
    "--order",
    type=click.Choice(get_args(AccountOrder)),
    default="name",
    show_default=True,
    help="By name, by the next end of an allocation, or by balance.",
)
@click.option("--after", help="Where the page before ended.")
@options.limit
@options.for_scripts
@options.database
def list_accounts(
    search: str,
    kind: AccountKind | None,
    tier: str | None,
    state: AccountState | None,
    ends_before: datetime | None,
    balance_below: int | None,
    order: AccountOrder,
    after: str | None,
    limit: int,
    as_json: bool,
    database_url: str,
) -> None:
    """List accounts, a page at a time."""
    query = AccountQuery(search, kind, tier, state, ends_before, balance_below, order)
    page = ledger_of(database_url).directory(query, limit=limit, after=after)

    def tell() -> None:
        table(
            ("account", "kind", "tier", "state", "next end", "available", "held or run up", "running"),
            [
                (
                    row.summary.account.name,
                    row.summary.account.kind,
                    ", ".join(row.summary.account.tiers),
                    row.state,
                    when(row.ends),
                    format_credits(row.summary.balance.available),
                    format_credits(row.summary.balance.accrued + row.summary.balance.set_aside, rounding="up"),
                    str(row.summary.open_leases),
                )
                for row in page.rows
            ],
        )
        if page.next_after is not None:
            click.echo(f"There are more: add `--after {page.next_after}`.")

    rows = [{**plain(row.summary), "state": row.state, "ends": plain(row.ends)} for row in page.rows]
    answer(as_json, {"items": rows, "next": page.next_after}, tell)


@account.command("show")
@click.argument("name")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many leases and lines, each."
)
@click.option("--before", type=int, help="Only lines of the journal older than this one.")
@options.for_scripts
@options.database
def show_account(name: str, limit: int, before: int | None, as_json: bool, database_url: str) -> None:
    """Print an account's balance, its allocations, what it runs, and its journal."""
    statement = ledger_of(database_url).statement(name, limit=limit, before=before)
    balance, now = statement.balance, utc_now()

    def tell() -> None:
        click.echo(f"{name}, tier {', '.join(statement.account.tiers)}")
        click.echo(
            f"{format_credits(balance.available)} credits available: {format_credits(balance.posted)} on "
            f"the account, {format_credits(balance.accrued, rounding='up')} accrued, "
            f"{format_credits(balance.set_aside, rounding='up')} set aside"
        )
        click.echo("\nAllocations")
        allocation_table(statement.allocations)
        click.echo("\nRunning")
        lease_table(statement.running, now)
        click.echo("\nEnded")
        table(
            ("lease", "ended", "what", "by", "seconds", "charged", "reason"),
            [
                (
                    str(lease.id),
                    when(lease.ended_at),
                    lease.label,
                    lease.person,
                    str(lease.seconds(now)),
                    format_credits(lease.charged, rounding="up"),
                    lease.reason or "",
                )
                for lease in statement.ended
            ],
        )
        click.echo("\nJournal")
        table(
            ("line", "at", "kind", "credits", "balance", "by", "reason"),
            [
                (
                    str(entry.id),
                    when(entry.at),
                    entry.kind,
                    format_credits(entry.amount),
                    format_credits(entry.balance_after),
                    entry.actor,
                    entry.reason,
                )
                for entry in statement.entries
            ],
        )
        if statement.next_before is not None:
            click.echo(f"The journal goes further back: add `--before {statement.next_before}`.")

    told = plain(statement)
    told["running"], told["ended"] = lease_views(statement.running, now), lease_views(statement.ended, now)
    answer(as_json, told, tell)


@account.command()
@click.argument("name")
@options.for_scripts
@options.database
def explain(name: str, as_json: bool, database_url: str) -> None:
    """Say why an account's balance is what it is: lines that add up to it."""
    found = ledger_of(database_url).explain(name)

    def tell() -> None:
        table(("credits", "what"), [(format_credits(line.amount), line.text) for line in found.lines])
        click.echo(f"Together {format_credits(found.available)} credits available.")

    answer(as_json, found, tell)


@account.command("open")
@click.argument("name")
@click.option("--tier", help="The tier of its first allocation; the tiers file's default if not given.")
@options.for_scripts
@options.tiers_file
@options.database
def open_account(name: str, tier: str | None, as_json: bool, tiers_path: str, database_url: str) -> None:
    """Open a user's account with its tier's budget. One that is there already stays as it is."""
    tiers = load_tiers(tiers_path)
    chosen = tier or tiers.first_tier.default
    opened = options.tier_of(tiers, chosen)
    ledger = Ledger(engine_of(database_url))
    found = ledger.open_account(
        name,
        chosen,
        opened.budget_units,
        actor=operator(),
        term_days=opened.term_days,
        renewable=opened.renewable,
    )
    answer(as_json, found, lambda: tell_balance(ledger, name, f"and is on the tier {', '.join(found.tiers)}"))


@account.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("units", metavar="CREDITS", type=options.CORRECTION)
@options.why
@options.key
@options.for_scripts
@options.database
def correct(name: str, units: int, reason: str, key: str, as_json: bool, database_url: str) -> None:
    """Add credits to an account, or below zero take some away, to put a mistake right."""
    ledger = ledger_of(database_url)
    found = ledger.correct(name, units, actor=operator(), reason=reason, key=key)
    answer(as_json, found, lambda: tell_balance(ledger, name, "after this correction"))


@account.command("change-tier")
@click.argument("name")
@click.argument("tier")
@click.option("--credits", "units", type=_GRANT, help="What it is granted; the tier's budget if not given.")
@click.option("--end", type=TIME, help="When the term ends (UTC); the tier's `term_days` from now if not given.")
@click.option("--keep", is_flag=True, help="Let the account's other allocations go on.")
@options.why
@options.key
@options.for_scripts
@options.tiers_file
@options.database
def change_tier(
    name: str,
    tier: str,
    units: int | None,
    end: datetime | None,
    keep: bool,
    reason: str,
    key: str,
    as_json: bool,
    tiers_path: str,
    database_url: str,
) -> None:
    """Move an account to another tier: open an allocation of it, and end the others."""
    chosen = options.known_tier(tier, tiers_path, "TIER")
    opened = ledger_of(database_url).change_tier(
        name,
        tier,
        chosen.budget_units if units is None else units,
        actor=operator(),
        reason=reason,
        key=key,
        end=end,
        term_days=chosen.term_days,
        renewable=chosen.renewable,
        keep=keep,
    )

    def tell() -> None:
        click.echo(
            f"{name} is on the tier {tier}: allocation {opened.id}, {format_credits(opened.balance)} credits "
            f"until {opened.end:%Y-%m-%d}."
        )

    answer(as_json, opened, tell)


def tell_balance(ledger: Ledger, name: str, after: str) -> None:
    """Print what an account has after something was done."""
    click.echo(f"{name} has {format_credits(ledger.balance(name).posted)} credits {after}.")
