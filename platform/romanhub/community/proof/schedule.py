"""When an entry is run next: once in a period, at a time of its own in it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from romanhub.community.proof.settings import RunSettings
from romanhub.models.runs import Outcome, Run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def offset(entry_id: int, period: timedelta) -> timedelta:
    """Return where in each period an entry has its turn. Entries are spread evenly, whatever their numbers are."""
    share = int.from_bytes(hashlib.sha256(str(entry_id).encode()).digest()[:8]) / 2**64
    return period * share


def next_turn(entry_id: int, after: datetime, period: timedelta) -> datetime:
    """Return an entry's first turn after a time."""
    first = _EPOCH + offset(entry_id, period)
    return first + ((after - first) // period + 1) * period


def next_run(entry_id: int, last: Run | None, now: datetime, settings: RunSettings) -> datetime:
    """Return when an entry is to be run.

    Parameters
    ----------
    entry_id
        The entry's number.
    last
        The last regular run of its newest version, which has ended; None where it was never run.
    now
        The time.
    settings
        How often, and how long to wait after a run that says nothing.
    """
    if last is None or last.ended_at is None:
        return now
    if last.outcome not in (Outcome.PASSED, Outcome.FAILED):
        return max(now, last.ended_at + timedelta(minutes=settings.retry_minutes))
    # Not at a turn that comes right after a run that was late: half a period lies between two at least.
    return next_turn(entry_id, last.ended_at + settings.period / 2, settings.period)
