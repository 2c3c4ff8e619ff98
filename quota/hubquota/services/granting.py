"""Opening allocations: many in one transaction, for all of which together is read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from hubquota.models import letters
from hubquota.models.ledger import Allocation, ConflictingKeyError, Entry, ImpossibleError
from hubquota.models.money import format_credits
from hubquota.services.allocation_checks import conflict, end_of_term
from hubquota.services.book import Book
from hubquota.storage import accounts, additional, allocations, journal, leases, notices
from hubquota.storage.times import moment, seconds


class Grant(NamedTuple):
    """An allocation that is to be opened; see `Allocations.grant`."""

    name: str
    units: int
    reason: str
    key: str
    tier: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    term_days: int | None = None
    renewable: bool = False


class Granting:
    """Grants in one transaction, to accounts that are locked: read together, and written together."""

    def __init__(self, connection: Connection, books: Mapping[str, Book], now: int, actor: str) -> None:
        self._connection = connection
        self._books = books
        self._now = now
        self._actor = actor

    def grant(self, wanted: Sequence[Grant]) -> list[Allocation]:
        """Open the allocations; return them in the order of the grants."""
        connection, now = self._connection, self._now
        there = journal.find_many(connection, [f"grant:{one.key}" for one in wanted])
        views = allocations.find_many(connection, {found.allocation_id for found in there.values()}, now)
        new: dict[str, Grant] = {}
        for one in wanted:
            found = there.get(f"grant:{one.key}")
            if found is not None and not _is_same(one, found, views[found.allocation_id]):
                raise conflict(f"grant:{one.key}", found)
            if found is None and new.setdefault(one.key, one) != one:
                raise ConflictingKeyError(
                    f"The key '{one.key}' is given to two grants. Choose another key for one."
                )
        made = dict(zip(new, self._open([self._checked(one) for one in new.values()]), strict=True))
        numbers = [made[one.key] if one.key in made else there[f"grant:{one.key}"].allocation_id for one in wanted]
        views = allocations.find_many(connection, set(numbers), now)
        return [views[number] for number in numbers]

    def _checked(self, one: Grant) -> tuple[Grant, int, int | None]:
        """Return a grant with its start and its end."""
        begins = self._now if one.start is None else seconds(one.start)
        ends = end_of_term(begins, one.end, one.term_days)
        if ends is not None and ends <= begins:
            raise ValueError("An allocation ends after it starts.")
        if ends is not None and ends <= self._now:
            raise ImpossibleError("The end of that allocation is past already.")
        return one, begins, ends

    def _open(self, new: Sequence[tuple[Grant, int, int | None]]) -> list[int]:
        """Open allocations, with their lines and notices; return their numbers."""
        if not new:
            return []
        connection, now, actor = self._connection, self._now, self._actor
        owners = [self._books[one.name].owner for one, _, _ in new]
        theirs = [book.owner for book in self._books.values()]
        views = {one.id: one for one in accounts.views(connection, theirs, now)}
        running = leases.running_on(connection, [owner.id for owner in owners])
        for book in self._books.values():
            if book.owner.id in running:
                # What has run so far is charged to what could pay for it then.
                book.settle_all(actor=actor)
        tiers = [one.tier or views[owner.id].tiers[-1] for (one, _, _), owner in zip(new, owners, strict=True)]
        numbers = allocations.add_many(
            connection,
            [
                {
                    "account_id": owner.id,
                    "tier": tier,
                    "start_at": begins,
                    "end_at": ends,
                    "renewable": one.renewable,
                    "reason": one.reason,
                    "granted_by": actor,
                }
                for (one, begins, ends), owner, tier in zip(new, owners, tiers, strict=True)
            ],
            now=now,
        )
        additional.note(connection, numbers)
        lines: list[journal.Line] = []
        told: list[tuple[str, letters.Letter]] = []
        readers = accounts.readers(connection, theirs)
        for (one, begins, ends), owner, tier, number in zip(new, owners, tiers, numbers, strict=True):
            lines.append(
                journal.Line(
                    owner=owner,
                    allocation_id=number,
                    allocation_after=one.units,
                    kind="grant",
                    amount=one.units,
                    actor=actor,
                    reason=one.reason,
                    key=f"grant:{one.key}",
                    end=ends,
                )
            )
            done = f"was granted: {format_credits(one.units)} credits of the tier {tier}, {_term(begins, ends)}"
            letter = letters.changed(
                "granted", one.key, number, owner.name, done=done, by=actor, reason=one.reason
            )
            told += [(person, letter) for person in readers[owner.id]]
        journal.add_lines(connection, lines, at=now)
        notices.post(connection, told, at=now)
        for book in self._books.values():
            book.changed()
        return numbers


def _is_same(one: Grant, found: Entry, made: Allocation) -> bool:
    """Return whether a grant is the one that a line of the journal is of, as far as it says what it is to be."""
    if (found.account, found.amount, found.reason) != (one.name, one.units, one.reason):
        return False
    if found.kind != "grant":
        # The first form of the ledger had no dated allocations: its grants were carried over as supplements.
        return True
    begins = seconds(made.start) if one.start is None else seconds(one.start)
    return (
        made.tier == (one.tier or made.tier)
        and made.start == moment(begins)
        and found.end == moment(end_of_term(begins, one.end, one.term_days))
        and made.renewable == one.renewable
    )


def _term(start: int, end: int | None) -> str:
    until = "without an end" if end is None else f"until {letters.time_text(moment(end))}"
    return f"from {letters.time_text(moment(start))} on, {until}"
