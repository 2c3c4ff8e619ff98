"""Allocations: grants with dates, and what is done to them. Each act is a line of the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from hubquota.models import letters
from hubquota.models.ledger import (
    Allocation,
    ImpossibleError,
    UnknownAllocationError,
)
from hubquota.models.money import format_credits
from hubquota.services.allocation_checks import (
    check_in_term,
    conflict,
    free_of,
    known_allocation,
    owner_of,
    same_act,
)
from hubquota.services.base import Service, tell, unknown
from hubquota.services.book import Book
from hubquota.services.granting import Grant, Granting
from hubquota.storage import accounts, allocations, journal, terms
from hubquota.storage.engine import decision
from hubquota.storage.times import moment, seconds


class Allocations(Service):
    """Grants, supplements, extends, transfers, suspends, revokes and corrects.

    Every act has a key that says which act it is. A second call with the same key and the same content
    returns what the first one did and changes nothing; with another content it raises
    ConflictingKeyError.
    """

    def grant(
        self,
        name: str,
        units: int,
        *,
        actor: str,
        reason: str,
        key: str,
        tier: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        term_days: int | None = None,
        renewable: bool = False,
    ) -> Allocation:
        """Open an allocation.

        Args:
            name: the account's name.
            units: how much, in units, above zero.
            actor: who grants it.
            reason: why.
            key: says which grant this is.
            tier: its tier; the one that the account is on if not given.
            start: from when on it can pay; now if not given.
            end: when its term ends; None for no end.
            term_days: how many days its term lasts, where no end is given.
            renewable: whether another may follow it on request.

        Raises:
            UnknownAccountError: there is no account of that name.
            ConflictingKeyError: the key stands for another grant already.
            ValueError: the amount is not above zero, or the end is not after the start.
            ImpossibleError: the end is past.
        """
        wanted = Grant(name, units, reason, key, tier, start, end, term_days, renewable)
        return self.grant_many([wanted], actor=actor)[0]

    def grant_many(self, wanted: Sequence[Grant], *, actor: str) -> list[Allocation]:
        """Open many allocations in one transaction, as `grant` opens each: all of them, or where one fails none.

        Args:
            wanted: the grants.
            actor: who grants them.

        Returns:
            The allocations, in the order of the grants.

        Raises:
            UnknownAccountError: there is no account of one of the names.
            ConflictingKeyError: a key stands for another grant already.
            ValueError: an amount is not above zero, or an end is not after its start.
            ImpossibleError: an end is past.
        """
        if any(one.units <= 0 for one in wanted):
            raise ValueError("A grant is above zero; post a correction to take something back.")
        if not wanted:
            return []
        with decision(self._engine) as connection:
            owners = accounts.lock_names(connection, {one.name for one in wanted})
            # Only now: whoever waited for the locks decides by the time at which it got them.
            now = self._now()
            pools = allocations.open_pools_of(connection, list(owners), now)
            books = {
                owner.name: self._open_book(connection, owner, now, pools[owner.id]) for owner in owners.values()
            }
            if lost := {one.name for one in wanted} - books.keys():
                raise unknown(min(lost))
            return Granting(connection, books, now, actor).grant(wanted)

    def supplement(self, allocation_id: int, units: int, *, actor: str, reason: str, key: str) -> Allocation:
        """Add credits to an allocation.

        Raises:
            UnknownAllocationError: there is no allocation of that number.
            ConflictingKeyError: the key stands for another supplement already.
            ImpossibleError: its term is over.
            ValueError: the amount is not above zero.
        """
        if units <= 0:
            raise ValueError("A supplement is above zero; post a correction to take something back.")

        def act(book: Book, _allocation: Allocation) -> None:
            book.post(allocation_id, "supplement", units, actor=actor, reason=reason, key=f"supplement:{key}")
            done = f"was given {format_credits(units)} credits more"
            self._tell(book, "supplemented", key, allocation_id, done=done, by=actor, reason=reason)

        return self._act(allocation_id, f"supplement:{key}", units, act, reason=reason)

    def extend_term(
        self, allocation_id: int, end: datetime | None, *, actor: str, reason: str, key: str
    ) -> Allocation:
        """Move the end of an allocation's term to a later day, or with None, take its end away.

        Raises:
            UnknownAllocationError: there is no allocation of that number.
            ConflictingKeyError: the key stands for another extension already.
            ImpossibleError: its term is over, or would end earlier than it does.
        """
        until = None if end is None else seconds(end)

        def act(book: Book, allocation: Allocation) -> None:
            if allocation.end is None or (end is not None and end <= allocation.end):
                raise ImpossibleError(
                    f"Allocation {allocation_id} ends "
                    f"{'never' if allocation.end is None else f'on {allocation.end:%Y-%m-%d %H:%M} UTC'}, which "
                    "is not before the new end. Revoke it to end it earlier."
                )
            book.post(allocation_id, "extension", 0, actor=actor, reason=reason, key=f"extension:{key}", end=until)
            allocations.set_fact(book.connection, allocation_id, end_at=until)
            done = f"was extended: its end is now {letters.time_text(moment(until))}"
            self._tell(book, "extended", key, allocation_id, done=done, by=actor, reason=reason)

        return self._act(allocation_id, f"extension:{key}", 0, act, reason=reason, end=until)

    def transfer(
        self, source: int, target: int, units: int, *, actor: str, reason: str, key: str
    ) -> tuple[Allocation, Allocation]:
        """Move credits from one allocation to another, of the same account or of another one.

        Returns:
            The two allocations after it.

        Raises:
            UnknownAllocationError: there is no allocation of one of the numbers.
            ConflictingKeyError: the key stands for another transfer already.
            ImpossibleError: one of the terms is over, or the source does not have so much that is free.
            ValueError: the amount is not above zero, or the two are one.
        """
        if units <= 0 or source == target:
            raise ValueError("A transfer moves an amount above zero from one allocation to another.")
        with decision(self._engine) as connection:
            owners = {number: owner_of(connection, number) for number in (source, target)}
            # Locked in the order of their numbers, so that no two transfers wait for each other.
            books = {number: self._book_of(connection, number) for number in sorted(set(owners.values()))}
            giving, taking = books[owners[source]], books[owners[target]]
            text = f"{reason} (from allocation {source} to allocation {target})"
            found = journal.find(connection, f"transfer-out:{key}")
            if found is not None:
                partner = journal.find(connection, f"transfer-in:{key}")
                if (
                    partner is None
                    or (found.allocation_id, partner.allocation_id) != (source, target)
                    or (found.amount, found.reason) != (-units, text)
                ):
                    raise conflict(f"transfer-out:{key}", found)
            else:
                for number, book in ((source, giving), (target, taking)):
                    check_in_term(known_allocation(connection, number, book.now), book.now)
                    book.settle_all(actor=actor)
                free = free_of(giving, source)
                if units > free:
                    raise ImpossibleError(
                        f"Allocation {source} has {format_credits(free)} credits that are neither held nor run "
                        f"up, which is less than the {format_credits(units, rounding='up')} to transfer."
                    )
                giving.post(source, "transfer-out", -units, actor=actor, reason=text, key=f"transfer-out:{key}")
                taking.post(target, "transfer-in", units, actor=actor, reason=text, key=f"transfer-in:{key}")
                moved = f"gave {format_credits(units)} credits to allocation {target}"
                self._tell(giving, "transferred", f"out:{key}", source, done=moved, by=actor, reason=reason)
                moved = f"got {format_credits(units)} credits from allocation {source}"
                self._tell(taking, "transferred", f"in:{key}", target, done=moved, by=actor, reason=reason)
            now = giving.now
            return known_allocation(connection, source, now), known_allocation(connection, target, now)

    def suspend(self, allocation_id: int, *, actor: str, reason: str, key: str) -> Allocation:
        """Let an allocation pay for nothing new. What is held stays held; its term goes on.

        Raises:
            UnknownAllocationError: there is no allocation of that number.
            ConflictingKeyError: the key stands for another suspension already.
            ImpossibleError: its term is over, or it is suspended already.
        """

        def act(book: Book, allocation: Allocation) -> None:
            if allocation.suspended_at is not None:
                raise ImpossibleError(f"Allocation {allocation_id} is suspended already.")
            book.post(allocation_id, "suspension", 0, actor=actor, reason=reason, key=f"suspension:{key}")
            allocations.set_fact(book.connection, allocation_id, suspended_at=book.now)
            done = "was suspended: it pays for nothing new until somebody resumes it, and its term goes on"
            self._tell(book, "suspended", key, allocation_id, done=done, by=actor, reason=reason)

        return self._act(allocation_id, f"suspension:{key}", 0, act, reason=reason)

    def resume(self, allocation_id: int, *, actor: str, reason: str, key: str) -> Allocation:
        """Let an allocation that was suspended pay again.

        Raises:
            UnknownAllocationError: there is no allocation of that number.
            ConflictingKeyError: the key stands for another resumption already.
            ImpossibleError: its term is over, or it is not suspended.
        """

        def act(book: Book, allocation: Allocation) -> None:
            if allocation.suspended_at is None:
                raise ImpossibleError(f"Allocation {allocation_id} is not suspended.")
            book.post(allocation_id, "resumption", 0, actor=actor, reason=reason, key=f"resumption:{key}")
            allocations.set_fact(book.connection, allocation_id, suspended_at=None)
            done = "was resumed: it pays again"
            self._tell(book, "resumed", key, allocation_id, done=done, by=actor, reason=reason)

        return self._act(allocation_id, f"resumption:{key}", 0, act, reason=reason)

    def revoke(self, allocation_id: int, *, actor: str, reason: str, key: str) -> Allocation:
        """End an allocation's term now. What it has left lapses once what runs is charged.

        What was to follow on it, and has not begun, is revoked with it: whoever is cut off is not paid again on
        the day on which the term would have ended.

        Raises:
            UnknownAllocationError: there is no allocation of that number.
            ConflictingKeyError: the key stands for another revocation already.
            ImpossibleError: its term is over.
        """

        def act(book: Book, _allocation: Allocation) -> None:
            at = letters.time_text(moment(book.now))
            done = f"was revoked: its term ended on {at}"
            self._end_now(book, allocation_id, done, actor=actor, reason=reason, key=key)
            last = allocation_id
            while (number := terms.waiting_follower(book.connection, last, book.now)) is not None:
                done = f"was revoked on {at} with allocation {last}, on which it was to follow"
                self._end_now(book, number, done, actor=actor, reason=reason, key=f"{key}:{number}")
                last = number

        return self._act(allocation_id, f"revocation:{key}", 0, act, reason=reason)

    def correct(
        self, name: str, units: int, *, actor: str, reason: str, key: str, allocation_id: int | None = None
    ) -> Allocation:
        """Put right a mistake in the journal, whose lines cannot be changed.

        Args:
            name: the account's name.
            units: what to add, in units; below zero to take away.
            actor: who corrects it.
            reason: what was wrong.
            key: says which correction this is.
            allocation_id: the allocation to correct; if not given, the one that is spent last.

        Raises:
            UnknownAccountError: there is no account of that name.
            UnknownAllocationError: it has no such allocation.
            ConflictingKeyError: the key stands for another correction already.
            ImpossibleError: the term is over, so nothing can be added to it or taken from it.
            ValueError: the amount is zero.
        """
        if not units:
            raise ValueError("A correction of nothing corrects nothing.")
        with decision(self._engine) as connection:
            book = self._book(connection, name)
            found = same_act(connection, f"correction:{key}", name, units, reason, allocation_id=allocation_id)
            if found is not None:
                return known_allocation(connection, found.allocation_id, book.now)
            number = allocation_id
            if number is None:
                running = [
                    one
                    for one in allocations.of_account(connection, book.owner.id, book.now, lapsed=False)
                    if one.end is None or one.end > moment(book.now)
                ]
                if not running:
                    raise ImpossibleError(f"{name} has no allocation whose term is not over. Grant one instead.")
                number = running[-1].id
            elif owner_of(connection, number) != book.owner.id:
                raise UnknownAllocationError(f"{name} has no allocation {number}.")
            check_in_term(known_allocation(connection, number, book.now), book.now)
            book.post(number, "correction", units, actor=actor, reason=reason, key=f"correction:{key}")
            what = "were added to it" if units > 0 else "were taken from it"
            done = f"was corrected: {format_credits(abs(units))} credits {what}"
            self._tell(book, "corrected", key, number, done=done, by=actor, reason=reason)
            return known_allocation(connection, number, book.now)

    # Parts of a transaction --------------------------------------------------------------------------

    def _end_now(self, book: Book, number: int, done: str, *, actor: str, reason: str, key: str) -> None:
        book.revoke(number, actor=actor, reason=reason, key=key)
        self._tell(book, "revoked", key, number, done=done, by=actor, reason=reason)

    def _tell(self, book: Book, what: str, key: str, number: int, *, done: str, by: str, reason: str) -> None:
        tell(book, letters.changed(what, key, number, book.owner.name, done=done, by=by, reason=reason))

    def _act(
        self,
        allocation_id: int,
        key: str,
        units: int,
        act: Callable[[Book, Allocation], None],
        *,
        reason: str,
        end: int | None = None,
    ) -> Allocation:
        with decision(self._engine) as connection:
            book = self._book_of(connection, owner_of(connection, allocation_id))
            allocation = known_allocation(connection, allocation_id, book.now)
            found = same_act(connection, key, allocation.account, units, reason, allocation_id=allocation_id)
            if found is not None:
                if found.kind == "extension" and found.end != moment(end):
                    raise conflict(key, found)
                return allocation
            check_in_term(allocation, book.now)
            # What has run so far is charged to what could pay for it then.
            book.settle_all(actor="hubquota")
            act(book, allocation)
            return known_allocation(connection, allocation_id, book.now)
