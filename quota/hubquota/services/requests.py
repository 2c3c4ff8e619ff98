"""Requests and decisions: a user or a PI asks, an administrator decides, each with a reason."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from hubquota.models import letters
from hubquota.models.ledger import ImpossibleError, UnknownAllocationError, UnknownRequestError
from hubquota.models.money import format_credits
from hubquota.models.moves import Mover
from hubquota.models.requests import Actor, ConflictingRequestError, Decision, NotAllowedError, Request
from hubquota.models.states import State, may_move
from hubquota.services.base import Service, known, tell
from hubquota.services.book import Book
from hubquota.storage import accounts, allocations, journal, notices, requests, terms
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import moment, seconds


class Requests(Service):
    """Takes requests for allocations, and what is decided about them."""

    def ask(self, account: str, tier: str, units: int, *, justification: str, by: Actor) -> Request:
        """Ask for an allocation.

        Args:
            account: whose it is to be: the asker's own, or a project that they lead.
            tier: the tier that is asked for.
            units: how much, in units, above zero.
            justification: what it is for.
            by: who asks.

        Raises:
            UnknownAccountError: there is no account of that name.
            NotAllowedError: the asker may not ask for it.
            ConflictingRequestError: there is an open request of that account for that tier.
            ValueError: the amount is not above zero, or there is no justification.
        """
        return self._ask(account, tier, units, justification=justification, by=by, renews=None, results="")

    def renew(
        self, allocation_id: int, *, justification: str, results: str, by: Actor, units: int | None = None
    ) -> Request:
        """Ask for an allocation that follows another. What that one has used is noted with the request.

        Args:
            allocation_id: the one that it is to follow.
            justification: what it is for.
            results: what came of the last term: papers, DOIs.
            by: who asks.
            units: how much, in units; as much as the last one was granted if not given.

        Raises:
            UnknownAllocationError: there is no allocation of that number.
            ImpossibleError: it cannot be renewed, or it is renewed already.
            NotAllowedError: the asker may not ask for it.
            ConflictingRequestError: there is an open request of that account for that tier.
            ValueError: the amount is not above zero, or there is no justification.
        """
        with reading(self._engine) as connection:
            last = allocations.find(connection, allocation_id, self._now())
            if last is None:
                raise UnknownAllocationError(f"There is no allocation {allocation_id}.")
            if last.revoked_at is not None:
                raise ImpossibleError(f"Allocation {allocation_id} was revoked. Ask for a new one instead.")
            if not last.renewable:
                raise ImpossibleError(f"Allocation {allocation_id} cannot be renewed. Ask for a new one instead.")
            granted = journal.granted(connection, allocation_id)
        wanted = granted if units is None else units
        return self._ask(
            last.account,
            last.tier,
            wanted,
            justification=justification,
            by=by,
            renews=allocation_id,
            results=results,
        )

    def approve(
        self,
        request_id: int,
        *,
        by: Actor,
        reason: str,
        end: datetime | None,
        start: datetime | None = None,
        units: int | None = None,
        tier: str | None = None,
        renewable: bool | None = None,
    ) -> Request:
        """Grant what was asked for, or less: its allocation is opened in the same transaction.

        Args:
            request_id: the request's number.
            by: who decides.
            reason: why, for whoever asked.
            end: when the allocation's term ends; None for no end.
            start: when it starts; if not given, at the end of the one that it follows, or now.
            units: how much, in units; as much as was asked if not given.
            tier: its tier; the one that was asked for if not given.
            renewable: whether another may follow it; if not given, what the tiers file says of its tier.

        Raises:
            UnknownRequestError: there is no request of that number.
            NotAllowedError: only administrators decide.
            ConflictingRequestError: somebody has decided already.
            ImpossibleError: the allocation that it asks to follow has been renewed since.
            ValueError: the amount is not above zero, or more than was asked; the end is not after the start.
        """
        with decision(self._engine) as connection:
            book, request = self._open(connection, request_id)
            amount = request.amount if units is None else units
            if not 0 < amount <= request.amount:
                raise ValueError(
                    f"An approval grants up to the {format_credits(request.amount)} credits that were asked for."
                )
            begins = self._start_after(connection, request, book.now) if start is None else seconds(start)
            ends = None if end is None else seconds(end)
            if ends is not None and ends <= max(begins, book.now):
                raise ValueError("An allocation ends after it starts, and after now.")
            goal = State.APPROVED if begins > book.now else State.ACTIVE
            _check(_movers(connection, book, by), State.REQUESTED, goal, by)
            if request.renews is not None:
                _check_not_followed(connection, request.renews)
            book.settle_all(actor="hubquota")
            number = book.grant(
                tier=tier or request.tier,
                units=amount,
                start=begins,
                end=ends,
                renewable=self._is_renewable(tier or request.tier) if renewable is None else renewable,
                actor=by.name,
                reason=reason,
                key=f"request:{request_id}",
                follows=request.renews,
            )
            return decide(book, request, "approved", by=by.name, reason=reason, units=amount, allocation=number)

    def deny(self, request_id: int, *, by: Actor, reason: str) -> Request:
        """Turn a request down.

        Raises:
            UnknownRequestError: there is no request of that number.
            NotAllowedError: only administrators decide.
            ConflictingRequestError: somebody has decided already.
            ValueError: there is no reason.
        """
        if not reason.strip():
            raise ValueError("Whoever asked wants to know why: give a reason.")
        return self._decide(request_id, State.DENIED, by, reason)

    def withdraw(self, request_id: int, *, by: Actor, reason: str = "") -> Request:
        """Take a request back.

        Raises:
            UnknownRequestError: there is no request of that number.
            NotAllowedError: it is not theirs to take back.
            ConflictingRequestError: somebody has decided already.
        """
        return self._decide(request_id, State.WITHDRAWN, by, reason)

    def request(self, request_id: int) -> Request:
        """Return the request of that number.

        Raises:
            UnknownRequestError: there is none.
        """
        with reading(self._engine) as connection:
            return _known(connection, request_id)

    def queue(
        self, *, account: str | None = None, open_only: bool = True, after: int = 0, limit: int = 100
    ) -> list[Request]:
        """Return requests in the order in which they were asked.

        Args:
            account: only those of this account.
            open_only: whether to leave out those that are decided.
            after: only those with a higher number: the last one of the page before.
            limit: how many at most.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            number = None if account is None else known(connection, account).id
            return requests.page(connection, account_id=number, open_only=open_only, after=after, limit=limit)

    def term_of(self, request: Request, days: int) -> tuple[datetime, datetime]:
        """Return the start and the end of what a request is granted, where nobody says otherwise.

        Args:
            request: the request.
            days: how long its tier's term is.
        """
        with reading(self._engine) as connection:
            start = moment(self._start_after(connection, request, self._now()))
        return start, start + timedelta(days=days)

    # Parts of a transaction --------------------------------------------------------------------------

    def _ask(
        self,
        account: str,
        tier: str,
        units: int,
        *,
        justification: str,
        by: Actor,
        renews: int | None,
        results: str,
    ) -> Request:
        if units <= 0:
            raise ValueError("A request asks for more than nothing.")
        if not justification.strip():
            raise ValueError("Say what it is for: whoever decides reads it.")
        with decision(self._engine) as connection:
            book = self._book(connection, account)
            if not _movers(connection, book, by) & {Mover.USER, Mover.PI, Mover.ADMIN}:
                raise NotAllowedError(f"{by.name} cannot ask for an allocation of {account}.")
            if (there := requests.find_open(connection, book.owner.id, tier)) is not None:
                raise ConflictingRequestError(
                    f"{there.asked_by} has asked for the tier {tier} for {account} already, on "
                    f"{there.asked_at:%Y-%m-%d}: request {there.id}. Withdraw it to ask again."
                )
            if renews is not None:
                _check_not_followed(connection, renews)
            number = requests.add(
                connection,
                book.owner.id,
                tier=tier,
                amount=units,
                renews=renews,
                justification=justification,
                results=results,
                used=0 if renews is None else journal.spent(connection, renews),
                asked_by=by.name,
                now=book.now,
            )
            letter = letters.asked(number, account, tier, units, by.name, justification)
            notices.post(connection, [(letters.ADMINS, letter)], at=book.now)
            return _known(connection, number)

    def _decide(self, request_id: int, goal: State, by: Actor, reason: str) -> Request:
        with decision(self._engine) as connection:
            book, request = self._open(connection, request_id)
            _check(_movers(connection, book, by), State.REQUESTED, goal, by)
            said: Decision = "denied" if goal is State.DENIED else "withdrawn"
            return decide(book, request, said, by=by.name, reason=reason)

    def _open(self, connection: Connection, request_id: int) -> tuple[Book, Request]:
        owner = requests.owner_of(connection, request_id)
        if owner is None:
            raise UnknownRequestError(f"There is no request {request_id}.")
        book = self._book_of(connection, owner)
        request = _known(connection, request_id)
        if not request.is_open:
            raise ConflictingRequestError(
                f"Request {request_id} was {request.decision} by {request.decided_by} on "
                f"{request.decided_at:%Y-%m-%d} already."
            )
        return book, request

    def _is_renewable(self, tier: str) -> bool:
        found = None if self._tiers is None else self._tiers().tiers.get(tier)
        return found is None or found.renewable

    def _start_after(self, connection: Connection, request: Request, now: int) -> int:
        last = None if request.renews is None else allocations.find(connection, request.renews, now)
        if last is None or last.end is None or last.end <= moment(now):
            return now
        return seconds(last.end)


def _check_not_followed(connection: Connection, allocation_id: int) -> None:
    following = terms.follower(connection, allocation_id)
    if following is not None:
        raise ImpossibleError(
            f"Allocation {allocation_id} is renewed already: by allocation {following}. A supplement to that one "
            "adds credits."
        )


def decide(
    book: Book,
    request: Request,
    decision: Decision,
    *,
    by: str,
    reason: str,
    units: int = 0,
    allocation: int | None = None,
) -> Request:
    """Note what was decided about an open request, in the transaction of a book; tell who asked.

    Args:
        book: the account's.
        request: the request.
        decision: the decision.
        by: who decided.
        reason: why.
        units: how much was granted, in units.
        allocation: the number of what was granted.
    """
    requests.decide(
        book.connection, request.id, decision=decision, by=by, reason=reason, now=book.now, allocation=allocation
    )
    if decision != "withdrawn":
        letter = letters.decided(
            request.id,
            request.account,
            request.tier,
            decision,
            by=by,
            reason=reason,
            units=units,
            asked_for=request.amount,
        )
        tell(book, letter, request.asked_by)
    return _known(book.connection, request.id)


def _movers(connection: Connection, book: Book, by: Actor) -> set[Mover]:
    """Return as whom somebody may act on an account."""
    found: set[Mover] = {Mover.ADMIN} if by.admin else set()
    if book.owner.kind == "user":
        if by.name == book.owner.name:
            found.add(Mover.USER)
    elif accounts.role_of(connection, book.owner.id, by.name) == "pi":
        found.add(Mover.PI)
    return found


def _check(movers: set[Mover], start: State, goal: State, by: Actor) -> None:
    if not any(may_move(mover, start, goal) for mover in movers):
        raise NotAllowedError(f"{by.name} cannot move this from {start.value} to {goal.value}.")


def _known(connection: Connection, request_id: int) -> Request:
    request = requests.find(connection, request_id)
    if request is None:
        raise UnknownRequestError(f"There is no request {request_id}.")
    return request
