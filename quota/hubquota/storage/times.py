"""Times as the database keeps them: whole seconds since 1970 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

#: The seconds of a day.
DAY = 86_400


def seconds(at: datetime) -> int:
    """Return a time as the database keeps it, rounded down.

    Raises:
        ValueError: the time has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("A time without a time zone could be any time: pass one with a zone.")
    return int(at.timestamp() // 1)


@overload
def moment(at: int) -> datetime: ...
@overload
def moment(at: int | None) -> datetime | None: ...
def moment(at: int | None) -> datetime | None:
    """Return a time that the database keeps as a datetime in UTC; of no time, None."""
    return None if at is None else datetime.fromtimestamp(at, UTC)
