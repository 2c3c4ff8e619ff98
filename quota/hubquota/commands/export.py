"""`hubquota export`: what was used, the journal and the allocations, as CSV or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import click

from hubquota.commands import options
from hubquota.commands.options import LONG, TIME, Command, engine_of
from hubquota.commands.output import bar
from hubquota.models.export import ALLOCATIONS, JOURNAL, USAGE, Columns, totals
from hubquota.services.export import Export, Group, added_up
from hubquota.services.exportform import Form, written


def _of_range(command: Command) -> Command:
    for option in reversed(
        (
            click.option(
                "--from", "since", type=TIME, help="The first day or time, in UTC; the beginning if not given."
            ),
            click.option("--until", type=TIME, help="The first day or time after the range; now if not given."),
            click.option("--account", help="Only what is of this account."),
            click.option("--tier", help="Only what is of, or paid by, allocations of this tier."),
            click.option(
                "--format",
                "form",
                type=click.Choice(["csv", "json"]),
                default="csv",
                show_default=True,
                help="CSV with a line of heads, or a JSON list with an object a line.",
            ),
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
def usage(
    since: datetime | None,
    until: datetime | None,
    account: str | None,
    tier: str | None,
    person: str | None,
    kind: str | None,
    by: tuple[Group, ...],
    form: Form,
    database_url: str,
) -> None:
    """Write out what ran in a range of time, cut at its bounds, to the second and to the unit."""
    reader = _export(database_url)
    wanted = {"account": account, "person": person, "kind": kind, "tier": tier}
    rows = _shown(reader.usage(since, until, **wanted), reader.count("usage", since, until, **wanted))
    if by:
        _write(form, totals(by), added_up(rows, by))
    else:
        _write(form, USAGE, rows)


@export.command()
@click.option("--person", help="Only charges for what this person ran.")
@click.option("--kind", help="Only lines of this kind, such as charge or grant.")
@_of_range
def journal(
    since: datetime | None,
    until: datetime | None,
    account: str | None,
    tier: str | None,
    person: str | None,
    kind: str | None,
    form: Form,
    database_url: str,
) -> None:
    """Write out the journal's lines of a range of time."""
    reader = _export(database_url)
    wanted = {"account": account, "person": person, "kind": kind, "tier": tier}
    rows = _shown(reader.journal(since, until, **wanted), reader.count("journal", since, until, **wanted))
    _write(form, JOURNAL, rows)


@export.command()
@_of_range
def allocations(
    since: datetime | None,
    until: datetime | None,
    account: str | None,
    tier: str | None,
    form: Form,
    database_url: str,
) -> None:
    """Write out the allocations whose terms touch a range of time, as they are now."""
    reader = _export(database_url)
    number = reader.count("allocations", since, until, account=account, tier=tier)
    _write(form, ALLOCATIONS, _shown(reader.allocations(since, until, account=account, tier=tier), number))


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
