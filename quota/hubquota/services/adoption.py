"""Adoption: what runs already, or ran, and the ledger did not admit."""

from __future__ import annotations

from datetime import datetime

from hubquota.models.ledger import Lease
from hubquota.models.stops import EndKind
from hubquota.services.base import Service
from hubquota.services.book import Book
from hubquota.storage import allocations, leases
from hubquota.storage.engine import decision
from hubquota.storage.times import moment, seconds


class Adoption(Service):
    """Makes leases of what was never asked for: it runs or ran, so it cannot be refused."""

    def adopt(
        self,
        account: str,
        *,
        person: str,
        kind: str,
        key: str,
        label: str,
        rate: int,
        tier: str,
        started: datetime,
        ended: datetime | None = None,
        reason: str = "",
        end_kind: EndKind | None = None,
        origin: str | None = None,
        priced: bool = False,
        actor: str = "hubquota",
    ) -> Lease:
        """Open a lease for what runs since a time, even if nothing can pay for it; end it if it has ended.

        It is charged from its real start, but not for a second that another lease of the same key was charged
        for, nor, unless it was started at a price, for the time before the account's first allocation. What
        nothing can pay is a debt. What has an open lease already, or was adopted before, stays as it is.

        Args:
            account: the account that pays.
            person: who runs it.
            kind: what runs, such as "server".
            key: which one, such as "server:ada/".
            label: what people read, such as "Medium server".
            rate: units a second while it runs.
            tier: the tier of an allocation without credits, which an account without any gets for the charge.
            started: since when it runs.
            ended: until when it ran; None if it still runs.
            reason: why it ended.
            end_kind: the same for programs.
            origin: what outside the ledger it is known by; a second adoption of it changes nothing.
            priced: whether it was started by something that knows prices, so that every second is charged.
            actor: who found it.

        Raises:
            UnknownAccountError: there is no account of that name.
            ValueError: the rate is below zero, or it ended before it started.
        """
        if rate < 0:
            raise ValueError("A rate cannot be below zero.")
        if ended is not None and ended < started:
            raise ValueError("Nothing ends before it has started.")
        with decision(self._engine) as connection:
            book = self._book(connection, account)
            if origin is not None:
                before = leases.find_origin(connection, origin, book.now)
                if before is not None:
                    return self._ended(book, before, ended, reason, end_kind, actor)
            held = leases.find_open(connection, key, book.now)
            if held is not None and _is_it(held[0], ended, person, account):
                # Somebody else found it running, and has opened its lease.
                if origin is not None:
                    leases.set_origin(connection, held[0].id, origin)
                return self._ended(book, held[0], ended, reason, end_kind, actor)
            begin, last = seconds(started), leases.last_ended(connection, person, kind, key, book.now)
            if last is not None and last.ended_at is not None and last.started_at is not None:
                begin = max(begin, seconds(last.ended_at))
            begin = min(begin, book.now)
            if ended is not None and last is not None and begin >= seconds(ended):
                # Every second of it has been charged already.
                if origin is not None:
                    leases.set_origin(connection, last.id, origin)
                return last
            number = self._open(
                book,
                person=person,
                kind=kind,
                # An open lease has the key to itself; what has ended only needs to be told apart.
                key=key if held is None else f"{key} ({origin or begin})",
                label=label,
                rate=rate,
                tier=tier,
                begin=begin,
                priced=priced,
                until=book.now if ended is None else max(begin, min(seconds(ended), book.now)),
                actor=actor,
            )
            if origin is not None:
                leases.set_origin(connection, number, origin)
            return self._ended(book, _found(book, number), ended, reason, end_kind, actor)

    def _open(
        self,
        book: Book,
        *,
        person: str,
        kind: str,
        key: str,
        label: str,
        rate: int,
        tier: str,
        begin: int,
        priced: bool,
        until: int,
        actor: str,
    ) -> int:
        connection = book.connection
        known_since = allocations.first_start(connection, book.owner.id)
        if known_since is None:
            known_since = book.now
            if rate:
                book.grant(
                    tier=tier,
                    units=0,
                    start=book.now,
                    end=None,
                    renewable=False,
                    actor=actor,
                    reason="Opened without credits, for the charge of what ran already.",
                    key=f"adoption:{book.owner.id}",
                )
        number = leases.add(
            connection, book.owner.id, person=person, kind=kind, key=key, label=label, rate=rate, now=begin
        )
        charged_from = begin if priced else min(max(begin, known_since), until)
        free = rate > 0 and charged_from > begin
        leases.begin_many(connection, [(number, 0 if free else rate, begin, begin, begin)])
        if free:
            leases.settle(connection, number, at=charged_from, cost=0)
            leases.change_rate(connection, number, rate=rate, at=charged_from)
        book.changed()
        return number

    def _ended(
        self,
        book: Book,
        lease: Lease,
        ended: datetime | None,
        reason: str,
        end_kind: EndKind | None,
        actor: str,
    ) -> Lease:
        if ended is None or not lease.is_open:
            return lease
        until = book.between(lease.started_at or moment(book.now), ended)
        if lease.reason is not None:
            reason, end_kind = lease.reason, lease.end_kind
        book.end(lease, at=until, reason=reason, kind=end_kind, actor=actor)
        return _found(book, lease.id)


def _is_it(holder: Lease, ended: datetime | None, person: str, account: str) -> bool:
    """Return whether the open lease of a key is that of what runs, or ran until a time."""
    if ended is None:
        return True
    began_before = holder.started_at is not None and holder.started_at < ended
    return began_before and (holder.person, holder.account) == (person, account)


def _found(book: Book, number: int) -> Lease:
    lease = leases.find(book.connection, number, book.now)
    assert lease is not None
    return lease
