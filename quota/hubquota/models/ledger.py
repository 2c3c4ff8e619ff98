"""What the ledger gives to its readers.

Amounts are in units (see `hubquota.models.money`) and times are in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

EntryKind = Literal["grant", "charge", "correction"]

#: The limits that a refusal can name. The text is also a label in metrics, so it stays short.
Limit = Literal["budget", "count", "size", "option", "tier", "unavailable"]


@dataclass(frozen=True, slots=True)
class Account:
    """One account: who it belongs to, which tier it is on, and what has been posted to it."""

    id: int
    name: str
    kind: str
    tier: str
    #: Posted balance in units. What is running has not been taken from it yet: see `Balance`.
    balance: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has. Every amount is in units.

    `available` is `posted - accrued - set_aside`, and can be below zero when something ran past the end.
    """

    #: The sum of all entries.
    posted: int
    #: What open leases have run up so far and the ledger has not posted yet.
    accrued: int
    #: What open leases still hold of the minimum that they were admitted with, beyond what they accrued.
    set_aside: int

    @property
    def available(self) -> int:
        """What a new admission may use, in units."""
        return self.posted - self.accrued - self.set_aside


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """One row of a list of accounts."""

    account: Account
    balance: Balance
    open_leases: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one thing at one rate, from its admission to its end."""

    id: int
    account: str
    #: What runs: "server", "dask-worker".
    kind: str
    #: Which one, such as "server:ada/". At most one open lease has a key.
    key: str
    #: What people read, such as "Medium server".
    label: str
    #: Units a second while it runs.
    rate: int
    #: Units that the admission set aside: the rate times the minimum that had to be affordable.
    set_aside: int
    admitted_at: datetime
    #: When it began to run; None while it is starting, and for a lease that ended without having run.
    started_at: datetime | None
    #: When somebody last saw it run.
    seen_at: datetime | None
    ended_at: datetime | None
    #: Units charged when it ended.
    charged: int
    #: Why it ended; on an open lease, why it is about to be stopped.
    reason: str | None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None

    @property
    def last_alive(self) -> datetime | None:
        """The last time at which it is known to have run; None if it never began."""
        if self.started_at is None or self.seen_at is None:
            return self.started_at
        return max(self.started_at, self.seen_at)

    def seconds(self, now: datetime) -> int:
        """Whole seconds that it ran: up to its end, or up to `now` while it is open."""
        if self.started_at is None:
            return 0
        until = self.ended_at if self.ended_at is not None else now
        return max(0, int(until.timestamp()) - int(self.started_at.timestamp()))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. Lines are only ever added."""

    id: int
    account: str
    at: datetime
    kind: EntryKind
    #: Units, above zero for a grant and below zero for a charge.
    amount: int
    #: The account's posted balance after this line, in units.
    balance_after: int
    lease_id: int | None
    #: Who did it: a user's name, or the part of the system that acted.
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Statement:
    """An account's story, newest first."""

    account: Account
    balance: Balance
    #: Open leases.
    running: tuple[Lease, ...]
    #: Leases that have ended, newest first.
    ended: tuple[Lease, ...]
    #: The journal, newest first.
    entries: tuple[Entry, ...]
    #: Pass as `before` to read the journal further back; None at its beginning.
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing in the ledger that does not add up."""

    account: str
    #: What was recomputed, such as "balance" or "lease 12: charge".
    what: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not allowed, for programs (`limit`) and for people (`message`)."""

    limit: Limit
    #: Whole sentences: the limit, the balance where it matters, and how to ask for more.
    message: str


class Refused(Exception):  # noqa: N818  (an answer, not an error)
    """A decision not to allow something. `str()` is the message for people."""

    def __init__(self, *, limit: Limit, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(limit=limit, message=message)

    @property
    def limit(self) -> Limit:
        """Which limit turned it down."""
        return self.refusal.limit

    @property
    def message(self) -> str:
        """The sentences for people."""
        return self.refusal.message


class UnknownAccountError(LookupError):
    """There is no account of that name."""


class UnknownLeaseError(LookupError):
    """There is no lease of that number."""


class LeaseStartedError(ValueError):
    """A lease that has begun cannot be cancelled; it is closed, with its charge."""


class ConflictingKeyError(ValueError):
    """An idempotency key that was used before, for something else."""
