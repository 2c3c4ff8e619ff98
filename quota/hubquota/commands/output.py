"""What the commands print: tables for people, JSON for scripts, and bars on long work."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import click


def answer(as_json: bool, value: object, tell: Callable[[], None]) -> None:
    """Print a value as JSON for scripts, or have it told to people."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False))
    else:
        tell()


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
def bar(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """Show how far long work has come, where the standard error stream is a terminal.

    Yields:
        What to call with how many more of `length` are done.
    """
    with click.progressbar(
        length=max(1, length), label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as shown:
        yield shown.update
