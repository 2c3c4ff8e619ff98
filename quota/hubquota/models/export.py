"""The rows of an export, and how they are written down: the same columns in CSV and in JSON.

Amounts are in units and times in UTC, as everywhere in the models. As columns, `credits` is decimal text
(see `exact_credits`) and `units` the same amount as a whole number, so that sums of many rows stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hubquota.models.entitlement import facts_of
from hubquota.models.ledger import AccountKind, Allocation, Entry
from hubquota.models.money import exact_credits, format_price, price_of
from hubquota.models.reading import AuditKind, Deed, act_text
from hubquota.models.states import State, state_of

#: What a column says of a row.
Value = str | int | bool | None
#: The columns of a kind of row, in order, and how each is read from a row.
Columns = dict[str, Callable[[Any], Value]]


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one lease used at one rate within a range of time."""

    lease: int
    account: str
    account_kind: AccountKind
    person: str
    kind: str
    key: str
    label: str
    #: The tiers of the allocations that pay for the lease, by name.
    tiers: tuple[str, ...]
    #: Units a second.
    rate: int
    #: Both cut to the range; whole seconds.
    start: datetime
    end: datetime
    #: Units: the rate times the seconds.
    amount: int
    #: What of that the ledger has not charged yet, because the lease runs.
    accrued: int

    @property
    def seconds(self) -> int:
        """How long it ran within the range, in whole seconds."""
        return int((self.end - self.start).total_seconds())


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What a group of leases used within a range of time."""

    #: What the group has in common: the values of the columns that it was added up by.
    group: tuple[str, ...]
    leases: int
    seconds: int
    amount: int
    accrued: int


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A line of the journal, with the tier of its allocation and who ran what it charges."""

    entry: Entry
    tier: str
    #: None where it charges nothing.
    person: str | None
    #: The key that makes the line the only one of its kind.
    key: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Something that somebody decided, or a charge."""

    at: datetime
    #: Whose account; None where it is about several.
    account: str | None
    kind: AuditKind
    #: What was done, in words.
    what: str
    actor: str
    reason: str
    #: The line of the journal; None for what is kept beside it.
    line: JournalRow | None = None


def audit_row(one: JournalRow | Deed) -> AuditRow:
    """Return a line of the journal, or what is kept beside it, as a row of an audit."""
    if isinstance(one, Deed):
        return AuditRow(one.at, one.account, one.kind, one.text, one.actor, one.reason)
    entry = one.entry
    return AuditRow(entry.at, entry.account, entry.kind, act_text(entry), entry.actor, entry.reason, one)


@dataclass(frozen=True, slots=True)
class AllocationRow:
    """An allocation, with what it was granted and what it has paid."""

    allocation: Allocation
    state: State
    #: Units: grants, supplements, transfers and corrections together.
    granted: int
    #: Units.
    charged: int


def iso(at: datetime | None) -> str | None:
    """Return a time as programs read it, such as "2026-11-22T12:00:00Z"; of no time, None."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


USAGE: Columns = {
    "lease": lambda row: row.lease,
    "account": lambda row: row.account,
    "account_kind": lambda row: row.account_kind,
    "person": lambda row: row.person,
    "kind": lambda row: row.kind,
    "key": lambda row: row.key,
    "label": lambda row: row.label,
    "tiers": lambda row: " ".join(row.tiers),
    "price": lambda row: format_price(price_of(row.rate)),
    "start": lambda row: iso(row.start),
    "end": lambda row: iso(row.end),
    "seconds": lambda row: row.seconds,
    "credits": lambda row: exact_credits(row.amount),
    "units": lambda row: row.amount,
    "accrued_units": lambda row: row.accrued,
}

JOURNAL: Columns = {
    "line": lambda row: row.entry.id,
    "at": lambda row: iso(row.entry.at),
    "account": lambda row: row.entry.account,
    "allocation": lambda row: row.entry.allocation_id,
    "tier": lambda row: row.tier,
    "kind": lambda row: row.entry.kind,
    "credits": lambda row: exact_credits(row.entry.amount),
    "units": lambda row: row.entry.amount,
    "balance_after": lambda row: exact_credits(row.entry.balance_after),
    "allocation_after": lambda row: exact_credits(row.entry.allocation_after),
    "end": lambda row: iso(row.entry.end),
    "lease": lambda row: row.entry.lease_id,
    "person": lambda row: row.person,
    "actor": lambda row: row.entry.actor,
    "reason": lambda row: row.entry.reason,
    "key": lambda row: row.key,
}

AUDIT: Columns = {
    "at": lambda row: iso(row.at),
    "account": lambda row: row.account,
    "kind": lambda row: row.kind,
    "what": lambda row: row.what,
    "actor": lambda row: row.actor,
    "reason": lambda row: row.reason,
}
# What only a line of the journal has is empty for the others.
AUDIT |= {
    name: lambda row, read=read: None if row.line is None else read(row.line)  # type: ignore[misc]
    for name, read in JOURNAL.items()
    if name not in AUDIT
}

ALLOCATIONS: Columns = {
    "allocation": lambda row: row.allocation.id,
    "account": lambda row: row.allocation.account,
    "tier": lambda row: row.allocation.tier,
    "state": lambda row: row.state.value,
    "start": lambda row: iso(row.allocation.start),
    "end": lambda row: iso(row.allocation.end),
    "granted": lambda row: exact_credits(row.granted),
    "granted_units": lambda row: row.granted,
    "charged": lambda row: exact_credits(row.charged),
    "charged_units": lambda row: row.charged,
    "balance": lambda row: exact_credits(row.allocation.balance),
    "balance_units": lambda row: row.allocation.balance,
    "held": lambda row: exact_credits(row.allocation.held),
    "renewable": lambda row: row.allocation.renewable,
    "granted_by": lambda row: row.allocation.granted_by,
    "granted_at": lambda row: iso(row.allocation.granted_at),
    "suspended_at": lambda row: iso(row.allocation.suspended_at),
    "revoked_at": lambda row: iso(row.allocation.revoked_at),
    "closed_at": lambda row: iso(row.allocation.lapsed_at),
    "archived_at": lambda row: iso(row.allocation.archived_at),
    "purged_at": lambda row: iso(row.allocation.purged_at),
    "reason": lambda row: row.allocation.reason,
}


def totals(by: Sequence[str]) -> Columns:
    """Return the columns of usage that is added up by some columns."""
    groups: Columns = {name: lambda row, at=at: row.group[at] for at, name in enumerate(by)}  # type: ignore[misc]
    return {
        **groups,
        "leases": lambda row: row.leases,
        "seconds": lambda row: row.seconds,
        "credits": lambda row: exact_credits(row.amount),
        "units": lambda row: row.amount,
        "accrued_units": lambda row: row.accrued,
    }


def record(columns: Columns, row: object) -> dict[str, Value]:
    """Return a row as it is written down."""
    return {name: read(row) for name, read in columns.items()}


def state_now(allocation: Allocation, now: datetime) -> State:
    """Return the state of an allocation from its dates, without a tiers file: expiring counts as active."""
    return state_of(facts_of(allocation), now)
