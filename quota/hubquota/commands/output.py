"""What the commands print: tables for people, JSON for scripts, and bars on long work."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import click

from hubquota.models.caps import Cap, MemberUse
from hubquota.models.clusters import ClusterUse
from hubquota.models.ledger import (
    Account,
    Allocation,
    Balance,
    Entry,
    Explanation,
    Lease,
    Line,
    Segment,
)
from hubquota.models.money import exact_credits, format_price, price_of
from hubquota.models.requests import Request
from hubquota.models.whatif import Sums, Unmapped
from hubquota.services.pastclusters import PastCluster

#: Which fields of a model are amounts in units. In JSON they are credits, as text.
AMOUNTS: dict[type, frozenset[str]] = {
    Account: frozenset({"balance"}),
    Allocation: frozenset({"balance", "held"}),
    Balance: frozenset({"posted", "accrued", "set_aside"}),
    Cap: frozenset({"credits"}),
    Entry: frozenset({"amount", "balance_after", "allocation_after"}),
    ClusterUse: frozenset({"cost"}),
    Explanation: frozenset({"available"}),
    Lease: frozenset({"held", "charged"}),
    Line: frozenset({"amount"}),
    MemberUse: frozenset({"spent", "taken"}),
    PastCluster: frozenset({"cost"}),
    Request: frozenset({"amount", "used"}),
    Segment: frozenset({"charged"}),
    Sums: frozenset({"actual", "priced", "charged", "refused", "stopped"}),
    Unmapped: frozenset({"priced"}),
}


def answer(as_json: bool, value: object, tell: Callable[[], None]) -> None:
    """Print a value as JSON for scripts, or have it told to people."""
    if as_json:
        click.echo(json.dumps(plain(value), ensure_ascii=False))
    else:
        tell()


def listed(items: Sequence[object], following: object = None) -> dict[str, object]:
    """Return a list as every command gives it: with what to pass as `--after` for more, or None."""
    return {"items": items, "next": following}


def plain(value: object) -> Any:
    """Return a value as JSON has it.

    Amounts become credits in decimal text that is exact where it ends and otherwise tells one unit from the
    next; rates become prices in credits an hour; times become ISO 8601 in UTC.
    """
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    return value


def _fields(value: Any) -> dict[str, object]:
    amounts = AMOUNTS.get(type(value), frozenset())
    found: dict[str, object] = {}
    for field in fields(value):
        one = getattr(value, field.name)
        if field.name in amounts:
            found[field.name] = None if one is None else exact_credits(one)
        elif field.name == "rate":
            found["price"] = format_price(price_of(one))
        else:
            found[field.name] = plain(one)
    if isinstance(value, Balance):
        found["available"] = exact_credits(value.available)
    return found


def when(at: datetime | None) -> str:
    """Return a time as a table shows it, in UTC."""
    return at.strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their heads, each column as wide as it has to be."""
    if not rows:
        click.echo("  nothing")
        return
    widths = [max(len(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    for line in (heads, *rows):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo(f"  {'  '.join(cells)}".rstrip())


@contextmanager
def bar(label: str, length: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far long work has come, where the standard error stream is a terminal.

    Args:
        label: what the work is.
        length: how much of it there is; None where nobody can tell, and then nothing is shown.

    Yields:
        What to call with how many more of `length` are done.
    """
    hidden = length is None or not sys.stderr.isatty()
    with click.progressbar(length=max(1, length or 1), label=label, file=sys.stderr, hidden=hidden) as shown:
        yield shown.update
