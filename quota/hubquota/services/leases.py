"""Leases: what is held while something runs, and what it has cost when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from hubquota.models.admissions import MINIMUM_SECONDS
from hubquota.models.ledger import (
    Extension,
    Lease,
    LeaseStartedError,
    Refused,
)
from hubquota.models.stops import EndKind
from hubquota.services.admission import capped_text, short_of
from hubquota.services.base import PATIENCE
from hubquota.services.book import HOLD_GRACE, SLICE_SECONDS, START_LIMIT, Book
from hubquota.services.leaselocks import LockedLeases, known_lease
from hubquota.storage import holds, leases
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import seconds

#: A lease whose hold ends within so many seconds gets its next slice.
EXTEND_WITHIN = 600


class Closing(NamedTuple):
    """The end of a lease, as `Leases.close` is told of it."""

    lease_id: int
    reason: str
    kind: EndKind | None = None
    at: datetime | None = None
    actor: str = "hubquota"


class Leases(LockedLeases):
    """Begins, extends, changes and ends leases."""

    def begin(self, lease_id: int, at: datetime | None = None) -> Lease:
        """Note that what the lease is for runs; it is charged from here. Once begun, nothing changes.

        A begin that is told of later than an hour after the admission comes too late: the lease has been
        abandoned by then, and ends without a charge.

        Args:
            lease_id: the lease's number.
            at: since when it runs; now if not given. Kept between its admission and now.

        Raises:
            UnknownLeaseError: there is no such lease.
        """
        return self.begin_many({lease_id: at})[0]

    def begin_many(self, begun: Mapping[int, datetime | None]) -> list[Lease]:
        """Note in one transaction what `begin` notes of each lease: its number, and since when it runs.

        Of many, nothing is noted where an account stays locked by somebody else: tell of each by itself then.

        Returns:
            The leases, in the order in which they were given.

        Raises:
            UnknownLeaseError: there is no lease of one of the numbers. Nothing is noted then.
        """
        if not begun:
            return []
        # Who shares a transaction does not wait for an account that only one of them needs.
        with decision(self._engine, patience=PATIENCE if len(begun) > 1 else None) as connection:
            locked = self._locked_many(connection, begun)
            rows: list[tuple[int, int, int, int, int]] = []
            for number, (book, lease) in locked.items():
                if lease.started_at is None and lease.ended_at is None:
                    started = book.between(lease.admitted_at, begun[number])
                    covered = started + (lease.held // lease.rate if lease.rate else 0)
                    rows.append((number, lease.rate, started, covered, covered + HOLD_GRACE))
            leases.begin_many(connection, rows)
            found = leases.find_many(connection, begun, next(iter(locked.values()))[0].now)
            return [found[number][0] for number in begun]

    def extend(self, lease_id: int, *, ahead: int = SLICE_SECONDS) -> Extension:
        """Charge a lease for what it ran, and hold what it costs from there to some seconds ahead.

        It is charged up to when it was last seen running. Where there is not enough for the whole slice,
        as many whole seconds are held as can be paid. A lease that has not begun or has ended stays as
        it is.

        Args:
            lease_id: the lease's number.
            ahead: how many seconds from now on should be covered.

        Raises:
            UnknownLeaseError: there is no such lease.
        """
        with decision(self._engine) as connection:
            book, lease = self._locked(connection, lease_id)
            short = False
            if lease.is_open and lease.last_alive is not None:
                book.settle(lease, min(seconds(lease.last_alive), book.now), actor="hubquota")
                short = self._cover(book, known_lease(book, lease_id), book.now + ahead)
            lease = known_lease(book, lease_id)
            return Extension(lease, lease.covered_until, short)

    def extend_due(self, *, within: int = EXTEND_WITHIN, ahead: int = SLICE_SECONDS) -> list[Extension]:
        """Extend every lease that runs and whose hold ends soon. Those not seen lately are left to lapse.

        Args:
            within: how many seconds before its hold's end a lease is extended. Whoever calls this at
                intervals passes more than one interval.
            ahead: as for `extend`.
        """
        now = self._now()
        with reading(self._engine) as connection:
            ending = holds.ending(connection, before=now + within, seen_after=now - 2 * within)
        return [self.extend(lease_id, ahead=ahead) for lease_id in ending]

    def set_rate(
        self, lease_id: int, rate: int, *, at: datetime | None = None, actor: str = "hubquota", ask: str = ""
    ) -> Lease:
        """Change what a lease costs, from a time on. What it cost before is charged.

        What is held for it still covers it as long as it did before, at the new rate.

        Args:
            lease_id: the lease's number.
            rate: units a second from then on.
            at: when it changed; now if not given. Kept between when it was last seen and now.
            actor: who changed it.
            ask: how to ask for more: the last sentence of a refusal.

        Raises:
            UnknownLeaseError: there is no such lease.
            Refused: there is not enough to hold at a higher rate. Nothing has changed then.
            ValueError: the rate is below zero.
        """
        if rate < 0:
            raise ValueError("A rate cannot be below zero.")
        with decision(self._engine) as connection:
            book, lease = self._locked(connection, lease_id)
            if not lease.is_open or rate == lease.rate:
                return lease
            changed = None
            if lease.last_alive is not None:
                changed = book.between(lease.last_alive, at)
                book.settle(lease, changed, actor=actor)
                lease = known_lease(book, lease_id)
            seconds_held = lease.held // lease.rate if lease.rate else MINIMUM_SECONDS
            since = book.now if changed is None else changed
            book.release(lease)
            leases.change_rate(connection, lease_id, rate=rate, at=changed)
            unheld = rate * max(0, min(seconds_held, book.now - since))
            if rate > lease.rate:
                capped = capped_text(book, lease.person, rate * seconds_held - unheld)
                if capped:
                    raise Refused(limit="cap", message=f"{capped} {ask}".strip())
            held = book.hold(
                lease_id,
                person=lease.person,
                rate=rate,
                since=since,
                wanted=seconds_held,
                begin_by=None if changed is not None else seconds(lease.admitted_at) + START_LIMIT,
                unheld=unheld,
            )
            if rate > lease.rate and (held < seconds_held or book.balance().available < 0):
                message = short_of(book, lease.label, rate, seconds_held)
                raise Refused(limit="budget", message=f"{message} {ask}".strip())
            return known_lease(book, lease_id)

    def close(
        self,
        lease_id: int,
        *,
        reason: str,
        kind: EndKind | None = None,
        at: datetime | None = None,
        actor: str = "hubquota",
    ) -> Lease:
        """End a lease and charge it: each of its rates times the whole seconds that it ran at it.

        A lease that never began ends without a charge. A lease that has ended stays as it is.

        Args:
            lease_id: the lease's number.
            reason: why it ended. A reason that `announce_stop` noted before stands instead of this one.
            kind: the same for programs; what `announce_stop` noted stands here too.
            at: until when it ran; now if not given. Kept between its begin, or up to when it is charged
                already, and now.
            actor: who ended it.

        Raises:
            UnknownLeaseError: there is no such lease.
        """
        return self.close_many([Closing(lease_id, reason, kind, at, actor)])[0]

    def close_many(self, closing: Sequence[Closing]) -> list[Lease]:
        """End leases in one transaction as `close` ends each, in their order.

        Returns:
            The leases, in the order in which they were given.

        Raises:
            UnknownLeaseError: there is no lease of one of the numbers. Nothing is ended then.
        """
        if not closing:
            return []
        with decision(self._engine) as connection:
            numbers = list(dict.fromkeys(one.lease_id for one in closing))
            locked = self._locked_many(connection, numbers)
            now = next(iter(locked.values()))[0].now
            waiting = dict(locked)
            for one in closing:
                # Told of twice, it ends as it was told of first.
                book, lease = waiting.pop(one.lease_id, (None, None))
                if book is None or lease is None or not lease.is_open:
                    continue
                until = book.between(lease.started_at or lease.admitted_at, one.at)
                reason, kind = one.reason, one.kind
                if lease.reason is not None:
                    reason, kind = lease.reason, lease.end_kind
                book.end(lease, at=until, reason=reason, kind=kind, actor=one.actor)
            found = leases.find_many(connection, numbers, now)
            return [found[one.lease_id][0] for one in closing]

    def cancel(self, lease_id: int, reason: str, kind: EndKind | None = None) -> Lease:
        """End a lease that never began, without a charge. A lease that has ended stays as it is.

        Raises:
            UnknownLeaseError: there is no such lease.
            LeaseStartedError: it has begun; close it instead.
        """
        with decision(self._engine) as connection:
            book, lease = self._locked(connection, lease_id)
            if lease.is_open:
                if lease.started_at is not None:
                    raise LeaseStartedError(f"Lease {lease_id} has begun: close it, with its charge.")
                at = book.between(lease.admitted_at, None)
                book.end(lease, at=at, reason=reason, kind=kind, actor="hubquota")
            return known_lease(book, lease_id)

    def seen(self, keys: Iterable[str], at: datetime | None = None) -> int:
        """Note that what these keys' open leases are for was seen running. Return how many are noted.

        Args:
            keys: the leases' keys. Those without an open lease that has begun are passed over.
            at: when they were seen; now if not given. An earlier sight than is noted changes nothing.
        """
        wanted = sorted(set(keys))
        if not wanted:
            return 0
        with decision(self._engine) as connection:
            now = self._now()
            return leases.set_seen(connection, wanted, now if at is None else min(seconds(at), now))

    def announce_stop(self, lease_id: int, reason: str | None, kind: EndKind | None = None) -> bool:
        """Note why an open lease is about to be stopped, or with None, that it is not after all.

        Whoever closes the lease need not know the reason then. Return False if it has ended.
        """
        with decision(self._engine) as connection:
            return leases.set_reason(connection, lease_id, reason, kind)

    def _cover(self, book: Book, lease: Lease, until: int) -> bool:
        """Hold what a lease that runs costs up to a time. Return whether there was not enough."""
        if not lease.rate or lease.settled_at is None:
            return False
        settled = seconds(lease.settled_at)
        if not lease.held:
            # What has expired may be somebody else's by now.
            book.release(lease)
        since = settled + lease.held // lease.rate
        wanted = until - since
        unheld = max(0, lease.rate * (book.now - settled) - lease.held)
        held = book.hold(lease.id, person=lease.person, rate=lease.rate, since=since, wanted=wanted, unheld=unheld)
        return wanted > 0 and held < wanted
