"""What the pages, the API and the exports read of the ledger, beyond what a decision needs.

Amounts are in units (see `hubquota.models.money`) and times are in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from hubquota.models.ledger import AccountKind, AccountSummary, Entry, EntryKind, Lease, Role

#: What an account can do now, by its allocations' dates and balances: an allocation pays and has credits;
#: one pays and has none; the only ones left are suspended; the first one is still to start; none is left.
AccountState = Literal["active", "exhausted", "suspended", "approved", "expired", "archived", "purged"]

#: The orders in which accounts can be listed: by name, by the next end of an allocation, by posted balance.
AccountOrder = Literal["name", "end", "balance"]

#: The kinds of what people decide that is no line of the journal.
DeedKind = Literal["override", "cap", "cluster", "hold", "purge", "request", "member"]

#: What an audit is about: "acts" is everything that somebody decided, in the journal and beside it.
AuditKind = Literal["acts"] | EntryKind | DeedKind


@dataclass(frozen=True, slots=True)
class AccountQuery:
    """Which accounts to list; what is None is not asked for."""

    #: A part of the name, in any case; empty for all.
    search: str = ""
    kind: AccountKind | None = None
    #: The tier of an allocation that pays now.
    tier: str | None = None
    state: AccountState | None = None
    #: Has an allocation whose books are open and that ends before this.
    ending_before: datetime | None = None
    #: Has a posted balance below this, in units, over all its allocations.
    balance_below: int | None = None
    order: AccountOrder = "name"


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One row of the list of accounts."""

    summary: AccountSummary
    state: AccountState
    #: The next end of an allocation whose books are open; None where none ends.
    ends: datetime | None


@dataclass(frozen=True, slots=True)
class AccountPage:
    """A page of the list of accounts."""

    rows: tuple[AccountRow, ...]
    #: Pass as `after` for the next page; None on the last.
    next_after: str | None


@dataclass(frozen=True, slots=True)
class Session:
    """Everything that was charged for one lease, as one line: a long one is charged slice by slice."""

    lease: Lease
    #: Units that its charges took, as an amount below zero.
    amount: int
    #: How many lines of the journal say so.
    lines: int
    #: The last of them.
    last: Entry


@dataclass(frozen=True, slots=True)
class History:
    """An account's journal with the charges of each session as one line, newest first."""

    lines: tuple[Entry | Session, ...]
    #: For each line, the account's posted balance after it, in units: what it and all lines below it add up to.
    after: tuple[int, ...]
    #: Pass as `before` to read further back; None at the beginning.
    next_before: int | None


@dataclass(frozen=True, slots=True)
class LastAdded:
    """The last line of a journal that added credits, and what has been taken since."""

    entry: Entry
    #: Units that later lines took away; below zero where they added.
    taken_since: int


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """What to read of what was decided on all accounts; what is None is not asked for."""

    kind: AuditKind = "acts"
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def beside(self) -> bool:
        """Whether only what is no line of the journal is asked for."""
        return self.kind in get_args(DeedKind)


def check_query(query: AuditQuery) -> None:
    """Check that a query can be answered without reading the whole journal.

    Raises:
        ValueError: charges of one actor are asked for without a time from which on to look.
    """
    if query.kind == "charge" and query.actor is not None and query.since is None:
        raise ValueError("Charges by an actor are looked for within a time: say from when on.")


def act_text(entry: Entry) -> str:
    """Return in words what a line of the journal says was done."""
    text = f"{entry.kind.capitalize()}, allocation {entry.allocation_id}"
    if entry.kind == "extension":
        text += f", to {entry.end:%Y-%m-%d}" if entry.end else ", to no end"
    return text


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody decided that is no line of the journal."""

    kind: DeedKind
    at: datetime
    #: Whose account; None where it is about several.
    account: str | None
    #: What was done, in words without a full stop.
    text: str
    #: Who; empty where that was not noted then.
    actor: str
    #: Why; empty where none was asked for.
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is in the list of all acts."""

    #: When it was done, in seconds since 1970.
    at: int
    #: Which of its second: 0 for a line of the journal.
    rank: int
    id: int

    @property
    def order(self) -> tuple[int, int, int]:
        """What the list is sorted by: the newest first."""
        return -self.at, self.rank, -self.id

    @property
    def text(self) -> str:
        """The place as text, for the address of a page."""
        return f"{self.at}.{self.rank}.{self.id}"

    @classmethod
    def of(cls, text: str) -> Place:
        """Return the place that a text names.

        Raises:
            ValueError: it names none.
        """
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
            raise ValueError("That page does not go on from there.")
        return cls(*map(int, parts))


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of an audit, newest first: lines of the journal, and deeds beside it."""

    lines: tuple[Entry | Deed, ...]
    #: Pass as `before` for the next page; None on the last.
    next_before: Place | None


@dataclass(frozen=True, slots=True)
class ChargesPage:
    """A page of what one session was charged, newest first."""

    entries: tuple[Entry, ...]
    #: Pass as `before` for the next page; None on the last.
    next_before: int | None


@dataclass(frozen=True, slots=True)
class MemberUse:
    """What somebody has used of a project's credits."""

    person: str
    #: Their role now; None for somebody who is no longer a member.
    role: Role | None
    since: datetime | None
    #: Units charged for what they ran.
    charged: int
    #: Things that they ran, those that run now among them.
    sessions: int
    #: What of it runs now.
    running: tuple[Lease, ...]
