"""What the runs of an entry say of it, for its card and its page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from romanhub.community.proof.settings import STALE_DAYS
from romanhub.community.storage import runs
from romanhub.models.entries import Proof
from romanhub.models.runs import Outcome, Run


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of an entry's newest version."""

    proof: Proof
    #: The last run that says something; None before the first.
    last: Run | None = None
    #: When a run last passed; None where none did.
    passed_at: datetime | None = None


#: What is known of an entry that was never run.
NEVER = Status(Proof.NEVER)


def status(
    connection: Connection,
    entry_ids: Collection[int],
    now: datetime,
    *,
    stale_after: timedelta = timedelta(days=STALE_DAYS),
) -> dict[int, Status]:
    """Return of each entry what its regular runs say.

    Failed: the last run that says something failed. Stale: it passed, and none has since then for longer than
    `stale_after`. Runs that were refused or lost say nothing of the notebook.

    Parameters
    ----------
    connection
        The catalogue's.
    entry_ids
        The entries' numbers.
    now
        The time, with its zone.
    stale_after
        How long a run that passed proves something.
    """
    found = runs.proofs(connection, entry_ids)
    return {
        number: status_of(*found[number], now, stale_after) if number in found else NEVER for number in entry_ids
    }


def status_of(last: Run | None, passed_at: datetime | None, now: datetime, stale_after: timedelta) -> Status:
    """Return what an entry's last run that says something, and the time of the last that passed, come to."""
    if last is None:
        return NEVER
    if last.outcome is Outcome.FAILED:
        return Status(Proof.FAILED, last, passed_at)
    proven = passed_at is not None and now - passed_at <= stale_after
    return Status(Proof.PASSED if proven else Proof.STALE, last, passed_at)
