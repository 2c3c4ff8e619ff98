"""`hubquota lease`: what runs, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from hubquota.commands import options
from hubquota.commands.options import ledger_of
from hubquota.commands.output import answer, listed, plain, table, when
from hubquota.models.ledger import Lease, UnknownLeaseError
from hubquota.models.money import exact_credits, format_credits, format_price, price_of
from hubquota.services.ledger import utc_now


@click.group()
def lease() -> None:
    """What runs, and what it costs."""


@lease.command("list")
@click.option("--account", help="Only what this account pays for.")
@click.option("--person", help="Only what this person runs.")
@click.option("--kind", help="Only leases of this kind, such as server or dask-worker.")
@options.for_scripts
@options.database
def list_leases(
    account: str | None, person: str | None, kind: str | None, as_json: bool, database_url: str
) -> None:
    """List what runs now."""
    found, now = ledger_of(database_url).open_leases(kind, account, person=person), utc_now()
    answer(as_json, listed(lease_views(found, now)), lambda: lease_table(found, now))


@lease.command("show")
@click.argument("number", type=int)
@options.for_scripts
@options.database
def show_lease(number: int, as_json: bool, database_url: str) -> None:
    """Print one lease, with each part of it in which its rate did not change."""
    ledger, now = ledger_of(database_url), utc_now()
    found = ledger.lease(number)
    if found is None:
        raise UnknownLeaseError(f"There is no lease {number}.")
    parts = ledger.segments(number)

    def tell() -> None:
        lease_table([found], now)
        click.echo(f"Ended {when(found.ended_at)}: {found.reason}" if found.ended_at else "It has not ended.")
        click.echo("\nParts")
        table(
            ("from", "until", "credits an hour", "charged"),
            [
                (
                    when(part.start),
                    when(part.end),
                    format_price(price_of(part.rate)),
                    format_credits(part.charged, rounding="up"),
                )
                for part in parts
            ],
        )

    answer(as_json, {**lease_views([found], now)[0], "segments": parts}, tell)


def lease_views(found: Sequence[Lease], now: datetime) -> list[dict[str, object]]:
    """Return leases for scripts, with how long each ran and what it cost so far."""
    return [
        {**plain(one), "seconds": one.seconds(now), "cost": exact_credits(one.cost(now)), "open": one.is_open}
        for one in found
    ]


def lease_table(found: Sequence[Lease], now: datetime) -> None:
    """Print leases for people."""
    table(
        ("lease", "account", "by", "what", "key", "since", "last seen", "seconds", "credits an hour", "so far"),
        [
            (
                str(one.id),
                one.account,
                one.person,
                one.label,
                one.key,
                when(one.started_at),
                when(one.seen_at),
                str(one.seconds(now)),
                format_price(price_of(one.rate)),
                format_credits(one.cost(now), rounding="up"),
            )
            for one in found
        ],
    )
