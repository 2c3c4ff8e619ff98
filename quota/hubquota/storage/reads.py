"""What was read of the data, in a transaction that somebody else opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from hubquota.storage.tables import data_read, data_report


def note(connection: Connection, *, person: str, report: str, now: int) -> bool:
    """Note that a report was counted; return False if it had been."""
    values = {"person": person, "report": report, "at": now}
    made = _insert(connection, data_report).values(values).on_conflict_do_nothing()
    return connection.execute(made.returning(data_report.c.report)).first() is not None


def add(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add bytes and requests to the rows of a day."""
    for row in rows:
        made = _insert(connection, data_read).values(dict(row))
        connection.execute(
            made.on_conflict_do_update(
                index_elements=list(data_read.primary_key.columns),
                set_={
                    "bytes": data_read.c.bytes + made.excluded.bytes,
                    "requests": data_read.c.requests + made.excluded.requests,
                },
            )
        )


def forget(connection: Connection, *, before: int) -> None:
    """Forget which reports were counted before a time."""
    connection.execute(delete(data_report).where(data_report.c.at < before))


def sums(connection: Connection, *columns: str, person: str | None, since: int) -> list[Any]:
    """Return the sums of bytes and requests by some columns since a day, the most bytes first."""
    by = [data_read.c[name] for name in columns]
    total = func.sum(data_read.c.bytes).label("bytes")
    query = select(*by, total, func.sum(data_read.c.requests).label("requests"))
    query = query.where(data_read.c.day >= since).group_by(*by).order_by(total.desc(), *by)
    if person is not None:
        query = query.where(data_read.c.person == person)
    return list(connection.execute(query))


def _insert(connection: Connection, table: Any) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
