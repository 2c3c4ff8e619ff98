"""What the ledger gives to its readers.

Amounts are in units (see `hubquota.models.money`) and times are in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self

from hubquota.models.stops import EndKind

#: What a line of the journal says. The field's words: a grant opens an allocation, a supplement adds to it,
#: an extension moves its end, an expiry takes what was left of it.
EntryKind = Literal[
    "grant",
    "supplement",
    "extension",
    "transfer-out",
    "transfer-in",
    "charge",
    "correction",
    "suspension",
    "resumption",
    "revocation",
    "expiry",
]

#: An account belongs to a user or to a project.
AccountKind = Literal["user", "project"]

#: What somebody is in a project.
Role = Literal["member", "pi"]

#: The limits that a refusal can name. The text is also a label in metrics, so it stays short.
Limit = Literal["budget", "count", "cap", "size", "option", "tier", "account", "suspended", "grace", "unavailable"]


@dataclass(frozen=True, slots=True)
class Account:
    """One account: who it belongs to, which tiers it is on, and what has been posted to it."""

    id: int
    name: str
    kind: AccountKind
    #: The tiers of the allocations that can pay now; of the last one where none can; never empty.
    #: `Tiers.largest` says which of them decides what may be used.
    tiers: tuple[str, ...]
    #: Posted balance in units, over all allocations. For what can be spent now, see `Balance`.
    balance: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account can spend. Every amount is in units.

    `available` is `posted - accrued - set_aside`, and can be below zero when something ran past the end.
    """

    #: What the allocations that can pay now have.
    posted: int
    #: What open leases have run up so far and the ledger has not charged yet.
    accrued: int
    #: What open leases hold beyond what they accrued.
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
class Allocation:
    """A dated grant to an account. It can pay from its start up to its end, while it is not suspended."""

    id: int
    account: str
    tier: str
    #: Whether it may be followed by another on request.
    renewable: bool
    reason: str
    granted_by: str
    granted_at: datetime
    start: datetime
    #: None where it has no end.
    end: datetime | None
    #: Posted balance in units.
    balance: int
    #: What open leases hold of it, in units.
    held: int
    suspended_at: datetime | None
    revoked_at: datetime | None
    #: When its books were closed, and what was left of it lapsed; None before.
    lapsed_at: datetime | None
    #: When what was kept under it was moved to the archive, while it is there or since it is gone.
    archived_at: datetime | None = None
    #: When the archive was discarded.
    purged_at: datetime | None = None

    def pays_at(self, at: datetime) -> bool:
        """Whether it can pay for that moment."""
        # What was to pay at once pays, even where another machine's clock is behind.
        started = self.start <= at or self.start <= self.granted_at
        return started and self.suspended_at is None and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody's part in a project."""

    project: str
    name: str
    role: Role
    since: datetime
    #: None while it lasts.
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a lease in which its rate did not change."""

    #: Units a second.
    rate: int
    start: datetime
    #: None while it lasts.
    end: datetime | None
    #: Units charged so far.
    charged: int


# Nothing changes one. Python takes several times as long to make what is frozen, and every decision makes these.
@dataclass(slots=True, unsafe_hash=True)
class Lease:
    """The right to run one thing, from its admission to its end. Its rate may change while it runs."""

    id: int
    account: str
    #: Who runs it: the account's owner, or a member of the project that pays.
    person: str
    #: What runs: "server", "dask-worker".
    kind: str
    #: Which one, such as "server:ada/". At most one open lease has a key.
    key: str
    #: What people read, such as "Medium server".
    label: str
    #: Units a second while it runs; the latest, where it has changed.
    rate: int
    #: Units that are held for it now.
    held: int
    admitted_at: datetime
    #: When it began to run; None while it is starting, and for a lease that ended without having run.
    started_at: datetime | None
    #: When somebody last saw it run.
    seen_at: datetime | None
    #: Up to when it has been charged; None before it began.
    settled_at: datetime | None
    ended_at: datetime | None
    #: Units charged so far.
    charged: int
    #: Why it ended; on an open lease, why it is about to be stopped.
    reason: str | None
    #: The same for programs; None where nobody said.
    end_kind: EndKind | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None

    @property
    def last_alive(self) -> datetime | None:
        """The last time at which it is known to have run; None if it never began."""
        if self.started_at is None:
            return None
        return max(at for at in (self.started_at, self.settled_at, self.seen_at) if at is not None)

    @property
    def covered_until(self) -> datetime | None:
        """Until when what is held pays for it; None before it began, and where it costs nothing."""
        if self.settled_at is None or not self.rate:
            return None
        return self.settled_at + timedelta(seconds=self.held // self.rate)

    def seconds(self, now: datetime) -> int:
        """Whole seconds that it ran: up to its end, or up to `now` while it is open."""
        return _whole_seconds(self.started_at, self.ended_at or now)

    def cost(self, now: datetime) -> int:
        """Units that it has cost: what is charged, and while it is open, what it has run up since."""
        if not self.is_open:
            return self.charged
        return self.charged + self.rate * _whole_seconds(self.settled_at, now)


@dataclass(frozen=True, slots=True)
class Extension:
    """What came of holding a lease's next slice."""

    lease: Lease
    #: Until when what is held pays for it; None where it costs nothing.
    covered_until: datetime | None
    #: Whether there was not enough to hold the whole slice.
    short: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. Lines are only ever added."""

    id: int
    account: str
    allocation_id: int
    at: datetime
    kind: EntryKind
    #: Units: above zero for what adds, below zero for what takes, zero for what only moves a date.
    amount: int
    #: The account's posted balance after this line, in units, over all its allocations.
    balance_after: int
    #: The allocation's posted balance after this line, in units.
    allocation_after: int
    #: The end that this line gives the allocation, where its kind does.
    end: datetime | None
    lease_id: int | None
    #: Who did it: a user's name, or the part of the system that acted.
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did, in numbers."""

    #: Allocations whose books were closed after their end.
    lapsed: int = 0
    #: Leases that were admitted, and whose begin nobody told of in time.
    abandoned: int = 0
    #: Holds that nobody kept up.
    released: int = 0
    #: Allocations that renewed themselves with that.
    renewed: int = 0


@dataclass(frozen=True, slots=True)
class TermsSwept:
    """What a sweep did about the ends of terms, in numbers of allocations."""

    #: Those that renewed themselves.
    renewed: int = 0
    #: Those whose owners were told that the end is near.
    reminded: int = 0
    #: Those whose end was seen to: owners were told, and grace began where nothing else was left.
    ended: int = 0
    #: Those whose grace is over.
    over: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an explanation: a sentence's beginning, and units."""

    text: str
    amount: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a balance is what it is: lines whose sum is `available`."""

    account: str
    lines: tuple[Line, ...]
    available: int


@dataclass(frozen=True, slots=True)
class Statement:
    """An account's story, newest first."""

    account: Account
    balance: Balance
    #: Allocations whose books are open, in the order in which they are spent.
    allocations: tuple[Allocation, ...]
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
    #: Whether a clean-up server can be started all the same.
    clean_up: bool = False


class Refused(Exception):  # noqa: N818  (an answer, not an error)
    """A decision not to allow something. `str()` is the message for people."""

    def __init__(self, *, limit: Limit, message: str, clean_up: bool = False) -> None:
        super().__init__(message)
        self.refusal = Refusal(limit, message, clean_up)

    @classmethod
    def by(cls, refusal: Refusal) -> Self:
        """Return a refusal as what can be raised."""
        return cls(limit=refusal.limit, message=refusal.message, clean_up=refusal.clean_up)

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


class UnknownAllocationError(LookupError):
    """There is no allocation of that number."""


class UnknownOverrideError(LookupError):
    """There is no override of that number."""


class UnknownRequestError(LookupError):
    """There is no request of that number."""


class ImpossibleError(ValueError):
    """Something that the state of an account, an allocation or a request does not allow."""


class LeaseStartedError(ValueError):
    """A lease that has begun cannot be cancelled; it is closed, with its charge."""


class ConflictingKeyError(ValueError):
    """An idempotency key that was used before, for something else."""


class ConflictingAccountError(ValueError):
    """An account of that name belongs to something else."""


def _whole_seconds(start: datetime | None, end: datetime) -> int:
    return 0 if start is None else max(0, int(end.timestamp()) - int(start.timestamp()))
