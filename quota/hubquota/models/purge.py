"""What a purge takes, step by step: the stages of a thing, and who may move it, as one table.

A plan names things (a home folder, a prefix in a bucket, a record in the hub) and what each looked like. A
thing moves on only while it looks the same and its account has not come back; otherwise it is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hubquota.models.ledger import AccountKind
from hubquota.models.moves import Move, Mover, allowed, moves_table


class Stage(StrEnum):
    """Where a thing is, from the plan that names it to the end of its archive."""

    PLANNED = "planned"
    NOTICED = "noticed"
    ARCHIVED = "archived"
    QUARANTINED = "quarantined"
    DELETED = "deleted"
    PURGED = "purged"
    RESTORED = "restored"
    LEFT_ALONE = "left alone"


class Act(StrEnum):
    """What is done to a thing. The first six move it on, the others bring it back or clear up."""

    NOTICE = "notice"
    ARCHIVE = "archive"
    QUARANTINE = "quarantine"
    DELETE = "delete"
    DISCARD = "discard"
    LEAVE = "leave"
    #: Brings it back out of the quarantine.
    GIVE_BACK = "give back"
    #: Brings it back out of the archive.
    RESTORE = "restore"
    #: Removes the archive of a thing that is where it was.
    CLEAR = "clear"


#: Stages in which nothing further is done to a thing, but that its archive is cleared up.
ENDED = frozenset({Stage.PURGED, Stage.RESTORED, Stage.LEFT_ALONE})

#: What each stage means, for people.
MEANING: dict[Stage, str] = {
    Stage.PLANNED: "A plan names it. Nobody has been told and nothing has been done.",
    Stage.NOTICED: "Its owner has been told when it will be taken away.",
    Stage.ARCHIVED: "A copy with a checksummed manifest is in the archive. It is still where it was.",
    Stage.QUARANTINED: "It has been moved aside, whole, and can be given back at once.",
    Stage.DELETED: "It is gone but for the archive, from which it can be restored.",
    Stage.PURGED: "The time in which it could be restored is over, and the archive is gone as well.",
    Stage.RESTORED: "It was brought back for its owner or an administrator, or with a new allocation.",
    Stage.LEFT_ALONE: "It is where it was, for the reason that is noted with it.",
}


def _moves() -> tuple[Move[Stage], ...]:
    engine, people = (Mover.ENGINE,), (Mover.USER, Mover.PI, Mover.ADMIN)
    back = "Whoever may draw on it asks for it back, or its account is granted another allocation."
    found = [
        Move(Stage.PLANNED, Stage.NOTICED, engine, "The plan is approved, and the first notice is posted."),
        Move(Stage.PLANNED, Stage.ARCHIVED, engine, "The plan is approved, and `notice_days` is empty."),
        Move(Stage.NOTICED, Stage.ARCHIVED, engine, "The time that the notices named has come."),
        Move(Stage.ARCHIVED, Stage.QUARANTINED, engine, "It looks as it did when it was archived."),
        Move(Stage.QUARANTINED, Stage.DELETED, engine, "`quarantine_days` are over, and the archive is verified."),
        Move(Stage.DELETED, Stage.PURGED, engine, "`restore_days` are over, and the account is not on hold."),
        Move(Stage.QUARANTINED, Stage.RESTORED, people, "Whoever may draw on it asks for it back."),
        Move(Stage.DELETED, Stage.RESTORED, (*people, *engine), back),
    ]
    why = "It was touched, or its account was renewed, put on hold or used, since the plan was made."
    for stage in (Stage.PLANNED, Stage.NOTICED, Stage.ARCHIVED, Stage.QUARANTINED):
        found.append(Move(stage, Stage.LEFT_ALONE, (Mover.ENGINE, Mover.ADMIN), why))
    return tuple(found)


#: Every step there is. What is not here cannot happen.
MOVES: tuple[Move[Stage], ...] = _moves()

_ALLOWED = allowed(MOVES)


def may_move(mover: Mover, start: Stage, end: Stage) -> bool:
    """Return whether somebody may take a thing from one stage to another."""
    return mover in _ALLOWED.get((start, end), frozenset())


def stages_table() -> str:
    """Return the stages and the moves between them as two Markdown tables, for the documentation."""
    return moves_table("Stage", MEANING, MOVES)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a thing looked like."""

    bytes: int
    files: int
    #: When anything in it was last changed; None for what has nothing in it.
    newest: datetime | None
    #: Two looks that agree in this saw the same: names, sizes, times of change, owners.
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing as its adapter knows it."""

    account: str
    kind: AccountKind
    #: What the adapter calls it, such as a folder's name.
    name: str
    #: A word of its own that no other thing of any plan has; fit for a file's name.
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A thing in a plan: what was seen of it, and how far it has come."""

    id: int
    plan: int
    account: str
    account_id: int
    kind: AccountKind
    #: The name of its adapter in the settings.
    adapter: str
    name: str
    seen: Seen
    #: Why it is in the plan.
    why: str
    #: The account's newest allocation when the plan was made.
    allocation: int
    stage: Stage
    stage_at: datetime
    #: What has been begun and not yet ended.
    doing: Act | None
    #: When the next step may be taken; None where it need not wait, or where there is none.
    due: datetime | None
    #: The smallest number of days that a notice has named; None before the first.
    told_days: int | None
    #: SHA-256 of the archive and of its manifest; None before there is one.
    archive_digest: str | None
    manifest_digest: str | None
    archive_bytes: int | None
    #: Whether there is, or may be, anything in the archive.
    archive_kept: bool
    #: What it looked like in the quarantine.
    quarantine_print: str | None
    #: Why it is left alone, or who asked for it back.
    reason: str | None
    #: Who asked for it back; None where nobody did.
    asked_by: str | None
    #: Where it was brought back to.
    place: str | None

    @property
    def mark(self) -> str:
        """The word by which its adapter and the archive know it."""
        # With a part of what was seen: a ledger that is begun anew numbers its plans from one again.
        return f"purge-{self.plan}-{self.id}-{self.seen.fingerprint[:12]}"

    @property
    def thing(self) -> Thing:
        """The thing itself."""
        return Thing(self.account, self.kind, self.name, self.mark)


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: what was found at one moment, for an administrator to review."""

    id: int
    made_at: datetime
    made_by: str
    #: SHA-256 over everything that it names. Whoever approves it says which plan they read.
    digest: str
    accounts: int
    items: int
    bytes: int
    files: int
    approved_at: datetime | None
    approved_by: str | None
    #: Why more accounts than the limits allow may be purged by it; None where they are not passed.
    override: str | None
    #: Why nothing more is done by it: cancelled, or a newer plan has replaced it. None while it counts.
    closed_reason: str | None


@dataclass(frozen=True, slots=True)
class PurgeEvent:
    """A line of what was done to a thing, and by whom; it is never changed."""

    id: int
    plan: int
    item: int | None
    at: datetime
    kind: str
    actor: str
    text: str


@dataclass(frozen=True, slots=True)
class PurgeHold:
    """An account is on hold: nothing of it is purged until somebody lifts it."""

    account: str
    placed_at: datetime
    placed_by: str
    reason: str
    lifted_at: datetime | None
    lifted_by: str | None
    #: Why it was lifted; None where it was not, or where nobody was asked yet.
    lifted_reason: str | None


class PurgeError(RuntimeError):
    """Something about a purge cannot be done. The text says what, and what to do."""


class UnknownPurgeError(PurgeError):
    """There is no plan, or nothing in one, of that number."""


class StalePlanError(PurgeError):
    """The plan is not the one that counts now, or not the one that was read. Nothing was changed."""


class TooManyAccountsError(PurgeError):
    """More accounts would be purged than the limits allow at once. Nothing was changed."""


class BusyError(PurgeError):
    """Something else is at work on the same thing now."""


class TouchedError(PurgeError):
    """A thing is not what was seen of it. The text is a reason to leave it alone, for its owner."""


class DamagedError(PurgeError):
    """An archive does not agree with its manifest, or with what is known of it."""


def next_act(
    item: Item,
    now: datetime,
    *,
    keep: str | None,
    notice_days: Sequence[int],
    others: AbstractSet[Stage],
    wanted: bool = False,
) -> Act | None:
    """Return what is to be done to a thing of an approved plan; None while nothing is.

    Args:
        item: the thing, as far as it has come.
        now: the time.
        keep: why it is to be left alone; None where nothing speaks for it.
        notice_days: the days before the taking on which its owner is told.
        others: the stages of what has to be deleted before it.
        wanted: whether its account has come back since, so that what was deleted is brought back.
    """
    if item.stage in ENDED:
        return Act.CLEAR if item.archive_kept and _due(item, now) else None
    if item.doing in (Act.RESTORE, Act.GIVE_BACK):
        return item.doing
    if item.stage is Stage.DELETED and (item.asked_by is not None or wanted) and item.doing is None:
        return Act.RESTORE
    if item.stage is Stage.DELETED:
        # What its owner came back for can still be asked for; what is on hold waits.
        return Act.DISCARD if item.doing is Act.DISCARD or (keep is None and _due(item, now)) else None
    if keep is not None:
        if item.doing is Act.DELETE:
            return Act.RESTORE
        moved = item.stage is Stage.QUARANTINED or item.doing is Act.QUARANTINE
        return Act.GIVE_BACK if moved else Act.LEAVE
    if item.doing is not None:
        return item.doing
    if item.stage is Stage.ARCHIVED:
        return Act.QUARANTINE
    if not others <= {Stage.DELETED, Stage.PURGED} and (item.stage is Stage.QUARANTINED or not notice_days):
        return None
    if item.stage is Stage.QUARANTINED:
        return Act.DELETE if _due(item, now) else None
    if notice_to_give(item, now, notice_days) is not None:
        return Act.NOTICE
    if not others <= {Stage.DELETED, Stage.PURGED}:
        return None
    return Act.ARCHIVE if not notice_days or (item.stage is Stage.NOTICED and _due(item, now)) else None


def notice_to_give(item: Item, now: datetime, notice_days: Sequence[int]) -> int | None:
    """Return how many days ahead of the taking a notice is due now; None if none is.

    The first notice sets the day. Where a run comes late, the notices that were missed are left out, and the
    day moves so that the last notice still names the days that it has to.
    """
    days = sorted(set(notice_days), reverse=True)
    if not days:
        return None
    if item.told_days is None or item.due is None:
        return days[0]
    open_days = [day for day in days if day < item.told_days and now >= item.due - timedelta(days=day)]
    return open_days[-1] if open_days else None


def _due(item: Item, now: datetime) -> bool:
    return item.due is None or now >= item.due
