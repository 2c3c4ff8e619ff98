"""`hubquota account burn-down`: how a balance went, and how it goes on while what runs now goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from hubquota.commands import options
from hubquota.commands.options import engine_of, tiers_around
from hubquota.commands.output import answer, plain, when
from hubquota.models.burndown import BurnDown
from hubquota.models.money import exact_credits, format_credits, format_price, price_of
from hubquota.services.history import Histories

#: How many characters the longest bar has.
_WIDTH = 40
#: How many lines of the past are shown at most.
_LINES = 12


@click.command("burn-down")
@click.argument("name")
@click.option("--past-days", default=30, show_default=True, type=click.IntRange(1), help="How far to look back.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1), help="How far to look ahead.")
@options.for_scripts
@options.database
def burn_down(name: str, past_days: int, days: int, as_json: bool, database_url: str) -> None:
    """Draw how an account's balance went, and its projected end while what runs now goes on."""
    service = Histories(engine_of(database_url), tiers=tiers_around())
    found = service.burn_down(name, past_days=past_days, horizon_days=days)
    answer(as_json, _for_scripts(found), lambda: _draw(found))


def _draw(found: BurnDown) -> None:
    past = [(point.at, point.balance) for point in found.past]
    future = [(step.at, step.total) for step in found.future]
    most = max([amount for _, amount in (*past, *future)], default=0)
    for at, amount in _thin(past):
        click.echo(_line(at, amount, most, "█"))
    click.echo(f"  {when(found.now)}  now: {format_price(price_of(found.rate))} credits an hour")
    for at, amount in future:
        click.echo(_line(at, amount, most, "░"))
    if found.exhausts_at is None:
        click.echo("The credits do not end while what runs now goes on.")
    else:
        click.echo(f"The credits end on {when(found.exhausts_at)} UTC if what runs now goes on.")


def _thin(points: Sequence[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """Return the first, the last and evenly chosen ones in between."""
    if len(points) <= _LINES:
        return list(points)
    return [points[round(number * (len(points) - 1) / (_LINES - 1))] for number in range(_LINES)]


def _line(at: datetime, amount: int, most: int, block: str) -> str:
    size = max(0, round(_WIDTH * amount / most)) if most > 0 else 0
    return f"  {when(at)}  {format_credits(amount):>12}  {block * size}".rstrip()


def _for_scripts(found: BurnDown) -> dict[str, object]:
    return {
        "account": found.account,
        "now": plain(found.now),
        "price": format_price(price_of(found.rate)),
        "exhausts_at": plain(found.exhausts_at),
        "past": [{"at": plain(point.at), "balance": exact_credits(point.balance)} for point in found.past],
        "future": [
            {
                "at": plain(step.at),
                "total": exact_credits(step.total),
                "allocations": {str(number): exact_credits(left) for number, left in step.left.items()},
            }
            for step in found.future
        ],
    }
