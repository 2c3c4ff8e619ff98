"""What the JSON API answers with about allocations, requests, sessions and projects. See `models` for amounts."""

from __future__ import annotations

from datetime import datetime

from hubquota.models.burndown import BurnDown
from hubquota.models.entitlement import state_in
from hubquota.models.ledger import Allocation, Entry, EntryKind, Explanation, Lease, Role
from hubquota.models.money import price_of
from hubquota.models.reading import AccountState, AuditPage, Deed, DeedKind, MemberUse, Session
from hubquota.models.requests import Decision, Request
from hubquota.models.states import State
from hubquota.models.tiers import Tiers
from pydantic import Field

from romanhub.portal.models import AccountModel, Amount, Answer, BalanceModel, Price


class AllocationModel(Answer):
    """A dated grant to an account."""

    id: int = Field(description="The allocation's number.")
    account: str = Field(description="Whose it is.")
    tier: str = Field(description="Its tier.")
    state: State = Field(description="Where it is, from its dates and what it has left.")
    balance: Amount = Field(description="Its posted balance, in credits.")
    held: Amount = Field(description="What running things hold of it, in credits.")
    start: datetime = Field(description="From when on it pays.")
    end: datetime | None = Field(description="The end of its term; null where it has none.")
    renewable: bool = Field(description="Whether another may follow it on request.")
    reason: str = Field(description="Why it was granted.")
    granted_by: str = Field(description="Who granted it.")
    granted_at: datetime = Field(description="When it was granted.")
    suspended_at: datetime | None = Field(description="Since when it is suspended, if it is.")
    revoked_at: datetime | None = Field(description="When it was revoked, if it was.")
    archived_at: datetime | None = Field(
        description="Since when what was kept under it is in the archive, if it is, or was before it was gone."
    )
    purged_at: datetime | None = Field(description="Since when what was kept under it is gone, if it is.")


class AllocationsModel(Answer):
    """An account's allocations, in the order in which they are spent."""

    allocations: tuple[AllocationModel, ...]


class LineModel(Answer):
    """One line of an explanation."""

    text: str = Field(description="What it is.")
    amount: Amount = Field(description="What it adds or takes, in credits.")


class ExplanationModel(Answer):
    """Why a balance is what it is: the lines add up to what is available."""

    account: str
    lines: tuple[LineModel, ...]
    available: Amount = Field(description="What can be used now, in credits.")


class PointModel(Answer):
    """The posted balance at a moment."""

    at: datetime
    balance: Amount


class LeftModel(Answer):
    """What an allocation has left at a moment."""

    allocation: int
    left: Amount


class ForecastModel(Answer):
    """What is left at a moment to come; between two of them it changes evenly."""

    at: datetime
    total: Amount
    allocations: tuple[LeftModel, ...]


class BurnDownModel(Answer):
    """How a balance went and how it goes on while what runs now goes on."""

    account: str
    now: datetime
    price: Price = Field(description="What runs now costs together, in credits an hour.")
    exhausts_at: datetime | None = Field(description="When the credits end; null where nothing runs.")
    past: tuple[PointModel, ...]
    future: tuple[ForecastModel, ...]


class SessionLineModel(Answer):
    """One session and everything that was charged for it."""

    id: int = Field(description="The session's number.")
    person: str = Field(description="Who ran it.")
    kind: str = Field(description="What ran, such as server or dask-worker.")
    key: str = Field(description="Which one, such as server:ada/.")
    label: str = Field(description="What people call it.")
    started_at: datetime | None = Field(description="When it began to run.")
    ended_at: datetime | None = Field(description="When it ended; null while it runs.")
    seconds: int = Field(description="How long it has run, in seconds.")
    amount: Amount = Field(description="What its charges took, in credits, below zero.")
    charges: int = Field(description="How many lines of the journal say so.")
    reason: str | None = Field(description="Why it ended.")


class JournalLineModel(Answer):
    """One line of the journal."""

    id: int = Field(description="The line's number.")
    account: str = Field(description="The account.")
    allocation: int = Field(description="The allocation.")
    at: datetime = Field(description="When it was written.")
    kind: EntryKind = Field(description="What it says.")
    amount: Amount = Field(description="Credits: above zero for what adds, below zero for what takes away.")
    balance_after: Amount = Field(description="The account's posted balance after it, in credits.")
    end: datetime | None = Field(description="The end that it gives the allocation, where its kind does.")
    session: int | None = Field(description="The session that it charges for.")
    actor: str = Field(description="Who did it: a person, or a part of the platform.")
    reason: str = Field(description="Why.")


class HistoryModel(Answer):
    """An account's story, newest first; each session is one line, where its last charge is."""

    lines: tuple[SessionLineModel | JournalLineModel, ...]
    next_before: int | None = Field(description="Ask again with this as `before` for what is further back.")


class JournalModel(Answer):
    """Lines of the journal, newest first."""

    lines: tuple[JournalLineModel, ...]
    next_before: int | None = Field(description="Ask again with this as `before` for what is further back.")


class DeedModel(Answer):
    """What somebody decided that is no line of the journal."""

    kind: DeedKind
    at: datetime
    account: str | None = Field(description="Whose account; null where it is about several.")
    text: str = Field(description="What was done, in words.")
    actor: str = Field(description="Who did it; empty where that was not noted then.")
    reason: str = Field(description="Why; empty where none was asked for.")


class AuditModel(Answer):
    """What was decided on all accounts, newest first: lines of the journal, and what is kept beside it."""

    lines: tuple[JournalLineModel | DeedModel, ...]
    next_before: str | None = Field(description="Ask again with this as `before` for what is further back.")


class RequestModel(Answer):
    """A request for an allocation, and what was decided about it."""

    id: int = Field(description="The request's number.")
    account: str = Field(description="Whose it is to be.")
    tier: str = Field(description="The tier that is asked for.")
    amount: Amount = Field(description="How much is asked for, in credits.")
    renews: int | None = Field(description="The allocation that it is to follow.")
    used: Amount = Field(description="What that one had used when this was asked for, in credits.")
    justification: str = Field(description="What it is for.")
    results: str = Field(description="What came of the last term: papers, DOIs.")
    asked_by: str
    asked_at: datetime
    decision: Decision | None = Field(description="Null while nobody has decided.")
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    allocation: int | None = Field(description="The allocation that an approval opened.")


class RequestsModel(Answer):
    """Requests in the order in which they were asked."""

    requests: tuple[RequestModel, ...]
    next_after: int | None = Field(
        description="Ask again with this as `after` for the next page; null at the end."
    )


class ProjectModel(Answer):
    """A project that the caller is in."""

    account: AccountModel
    balance: BalanceModel
    role: Role = Field(description="What the caller is in it.")


class ProjectsModel(Answer):
    """The projects that the caller is in, by name."""

    projects: tuple[ProjectModel, ...]


class MemberModel(Answer):
    """What somebody has used of a project."""

    person: str
    role: Role | None = Field(description="Their role now; null for a former member.")
    since: datetime | None
    used: Amount = Field(description="What was charged for what they ran, in credits.")
    sessions: int = Field(description="How many things they ran.")
    running: int = Field(description="How many of them run now.")


class MembersModel(Answer):
    """Who is or was in a project, with what they used."""

    project: str
    members: tuple[MemberModel, ...]


class DirectoryRowModel(Answer):
    """One account in a list."""

    account: AccountModel
    balance: BalanceModel
    running: int = Field(description="How many things run on it now.")
    state: AccountState = Field(description="What it can do now.")
    ends: datetime | None = Field(description="The next end of one of its allocations.")


class DirectoryModel(Answer):
    """A page of the list of accounts."""

    accounts: tuple[DirectoryRowModel, ...]
    next_after: str | None = Field(
        description="Ask again with this as `after` for the next page; null on the last."
    )


def allocation_model(one: Allocation, tiers: Tiers, now: datetime) -> AllocationModel:
    """Return an allocation as the API says it."""
    return AllocationModel(
        id=one.id,
        account=one.account,
        tier=one.tier,
        state=state_in(tiers, one, now),
        balance=one.balance,
        held=one.held,
        start=one.start,
        end=one.end,
        renewable=one.renewable,
        reason=one.reason,
        granted_by=one.granted_by,
        granted_at=one.granted_at,
        suspended_at=one.suspended_at,
        revoked_at=one.revoked_at,
        archived_at=one.archived_at,
        purged_at=one.purged_at,
    )


def explanation_model(found: Explanation) -> ExplanationModel:
    """Return an explanation as the API says it."""
    lines = tuple(LineModel(text=line.text, amount=line.amount) for line in found.lines)
    return ExplanationModel(account=found.account, lines=lines, available=found.available)


def burn_down_model(found: BurnDown) -> BurnDownModel:
    """Return a burn-down as the API says it."""
    return BurnDownModel(
        account=found.account,
        now=found.now,
        price=price_of(found.rate),
        exhausts_at=found.exhausts_at,
        past=tuple(PointModel(at=point.at, balance=point.balance) for point in found.past),
        future=tuple(
            ForecastModel(
                at=step.at,
                total=step.total,
                allocations=tuple(LeftModel(allocation=number, left=left) for number, left in step.left.items()),
            )
            for step in found.future
        ),
    )


def session_model(session: Session, now: datetime) -> SessionLineModel:
    """Return a session as the API says it."""
    return lease_model(session.lease, now, amount=session.amount, charges=session.lines)


def lease_model(lease: Lease, now: datetime, *, amount: int, charges: int) -> SessionLineModel:
    """Return a lease as a session, with what its charges took."""
    return SessionLineModel(
        id=lease.id,
        person=lease.person,
        kind=lease.kind,
        key=lease.key,
        label=lease.label,
        started_at=lease.started_at,
        ended_at=lease.ended_at,
        seconds=lease.seconds(now),
        amount=amount,
        charges=charges,
        reason=lease.reason,
    )


def journal_model(entry: Entry) -> JournalLineModel:
    """Return a line of the journal as the API says it."""
    return JournalLineModel(
        id=entry.id,
        account=entry.account,
        allocation=entry.allocation_id,
        at=entry.at,
        kind=entry.kind,
        amount=entry.amount,
        balance_after=entry.balance_after,
        end=entry.end,
        session=entry.lease_id,
        actor=entry.actor,
        reason=entry.reason,
    )


def audit_model(page: AuditPage) -> AuditModel:
    """Return a page of an audit as the API says it."""
    return AuditModel(
        lines=tuple(
            DeedModel.model_validate(one, from_attributes=True) if isinstance(one, Deed) else journal_model(one)
            for one in page.lines
        ),
        next_before=None if page.next_before is None else page.next_before.text,
    )


def request_model(one: Request) -> RequestModel:
    """Return a request as the API says it."""
    return RequestModel(
        id=one.id,
        account=one.account,
        tier=one.tier,
        amount=one.amount,
        renews=one.renews,
        used=one.used,
        justification=one.justification,
        results=one.results,
        asked_by=one.asked_by,
        asked_at=one.asked_at,
        decision=one.decision,
        decided_by=one.decided_by,
        decided_at=one.decided_at,
        decision_reason=one.decision_reason,
        allocation=one.allocation,
    )


def member_model(one: MemberUse) -> MemberModel:
    """Return what somebody used of a project as the API says it."""
    return MemberModel(
        person=one.person,
        role=one.role,
        since=one.since,
        used=one.charged,
        sessions=one.sessions,
        running=len(one.running),
    )
