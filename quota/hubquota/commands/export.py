"""`hubquota export`: what was used, the journal and the allocations, as CSV or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Unpack

import click

from hubquota.commands import options
from hubquota.commands.options import LONG, Command, engine_of
from hubquota.commands.output import bar
from hubquota.models.export import ALLOCATIONS, AUDIT, JOURNAL, USAGE, Columns, totals
from hubquota.models.reading import AuditQuery
from hubquota.services.export import Export, Group, Only, Range, added_up
from hubquota.services.exportform import Form, written

_FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="CSV with a line of heads, or a JSON list with an object a line.",
)


def _of_range(command: Command) -> Command:
    for option in reversed(
        (
            options.since,
            options.until,
            click.option("--account", help="Only what is of this account."),
            click.option("--tier", help="Only what is of, or paid by, allocations of this tier."),
            _FORMAT,
            options.database,
        )
    ):
        command = option(command)
    return command


@click.group()
def export() -> None:
    """Write out much at once, for spreadsheets and programs."""


@export.command()
@click.option("--person", help="Only what this person ran.")
@click.option("--kind", help="Only leases of this kind, such as server or dask-worker.")
@click.option(
    "--by",
    type=click.Choice(["account", "person", "kind"]),
    multiple=True,
    help="Add up what has this in common; can be given several times.",
)
@_of_range
def usage(by: tuple[Group, ...], form: Form, database_url: str, **wanted: Unpack[Only]) -> None:
    """Write out what ran in a range of time, cut at its bounds, to the second and to the unit."""
    reader = _export(database_url)
    rows = _shown(reader.usage(**wanted), reader.count("usage", **wanted))
    if by:
        _write(form, totals(by), added_up(rows, by))
    else:
        _write(form, USAGE, rows)


@export.command()
@click.option("--person", help="Only charges for what this person ran.")
@click.option("--kind", help="Only lines of this kind, such as charge or grant.")
@_of_range
def journal(form: Form, database_url: str, **wanted: Unpack[Only]) -> None:
    """Write out the journal's lines of a range of time."""
    reader = _export(database_url)
    _write(form, JOURNAL, _shown(reader.journal(**wanted), reader.count("journal", **wanted)))


@export.command()
@options.audited
@_FORMAT
@options.database
def audit(form: Form, database_url: str, **asked: Any) -> None:
    """Write out what was decided, the oldest first: the journal's acts, and limits, holds, purges and members."""
    _write(form, AUDIT, _export(database_url).audit(AuditQuery(**asked)))


@export.command()
@_of_range
def allocations(form: Form, database_url: str, **wanted: Unpack[Range]) -> None:
    """Write out the allocations whose terms touch a range of time, as they are now."""
    reader = _export(database_url)
    _write(form, ALLOCATIONS, _shown(reader.allocations(**wanted), reader.count("allocations", **wanted)))


def _export(database_url: str) -> Export:
    return Export(engine_of(database_url, timeout=LONG))


def _shown(rows: Iterable[Any], number: int) -> Iterator[Any]:
    """Pass rows on, with a bar that says how far they have come."""
    with bar("Exporting", number) as done_more:
        for row in rows:
            yield row
            done_more(1)


def _write(form: Form, columns: Columns, rows: Iterable[object]) -> None:
    for part in written(form, columns, rows):
        click.echo(part, nl=False)
