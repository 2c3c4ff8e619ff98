"""The sweep: books what dates alone have decided. A late or a doubled sweep changes nothing.

Whatever reads the ledger goes by the dates: an allocation pays for nothing past its end, and a hold that has
expired holds nothing, whether a sweep has come by or not. The sweep only writes it down.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from sqlalchemy import Connection

from hubquota.models.ledger import Swept
from hubquota.models.money import format_credits
from hubquota.services.base import Service
from hubquota.services.book import OVERRUN, START_LIMIT
from hubquota.services.leaselocks import abandon, is_abandoned
from hubquota.services.termwork import renew_due
from hubquota.storage import accounts, allocations, holds, journal, leases, terms
from hubquota.storage.engine import decision, reading

#: How many of a kind are dealt with in one transaction: others wait no longer than that takes.
_BATCH = 200


class Sweeping(Service):
    """Closes the books of allocations whose term is over, and clears up what nobody owns."""

    def sweep(self, done: Callable[[int], object] = lambda _more: None) -> Swept:
        """Do everything that is due. Safe to be interrupted, repeated, and done by several at once.

        Args:
            done: is told after each batch how many more things were written down.
        """
        abandoned, released = self._abandon(done), self._release(done)
        lapsed, renewed = self._lapse(done)
        return Swept(lapsed=lapsed, abandoned=abandoned, released=released, renewed=renewed)

    def due(self) -> int:
        """Return about how many things a sweep would have to look at now."""
        with reading(self._engine) as connection:
            now = self._now()
            return (
                allocations.count_ended(connection, now)
                + leases.count_waiting(connection, now - START_LIMIT)
                + holds.count_expired(connection, now)
            )

    def _abandon(self, tell: Callable[[int], object]) -> int:
        done = 0
        while True:
            with reading(self._engine) as connection:
                waiting = leases.list_waiting(connection, before=self._now() - START_LIMIT, limit=_BATCH)
            changed = sum(self._on_lease(lease_id, abandoning=True) for lease_id in waiting)
            done += changed
            tell(changed)
            if not changed:
                return done

    def _release(self, tell: Callable[[int], object]) -> int:
        done = 0
        while True:
            with reading(self._engine) as connection:
                expired = holds.expired(connection, self._now(), _BATCH)
            changed = sum(self._on_lease(lease_id, abandoning=False) for lease_id in expired)
            done += changed
            tell(changed)
            if not changed:
                return done

    def _on_lease(self, lease_id: int, *, abandoning: bool) -> bool:
        with decision(self._engine) as connection:
            owner = leases.owner_of(connection, lease_id)
            if owner is None:
                return False
            book = self._book_of(connection, owner)
            lease = leases.find(connection, lease_id, book.now, lock=True)
            if lease is None or not lease.is_open:
                return False
            if abandoning:
                if not is_abandoned(lease, book.now):
                    return False
                abandon(book, lease)
                return True
            found = holds.of_lease(connection, lease_id)
            if not any(row.expires_at <= book.now for row in found):
                return False
            book.release(lease)
            return True

    def _lapse(self, tell: Callable[[int], object]) -> tuple[int, int]:
        lapsed, renewed, after = 0, 0, (0, 0)
        while True:
            with reading(self._engine) as connection:
                found = allocations.due(connection, self._now(), after=after, limit=_BATCH)
            tell(len(found))
            if not found:
                return lapsed, renewed
            after = found[-1].end_at, found[-1].id
            with decision(self._engine) as connection:
                more = self._lapse_of(connection, {allocation.account_id for allocation in found})
            lapsed, renewed = lapsed + more[0], renewed + more[1]

    def _lapse_of(self, connection: Connection, account_ids: Set[int]) -> tuple[int, int]:
        owners = accounts.lock_ids(connection, account_ids)
        now, renewed = self._now(), 0
        if self._tiers is not None:
            # With the end of a term, what follows on it: nobody is without in between.
            renewed = renew_due(connection, owners, now, self._tiers().tiers)
        # Read again: another sweep may have been faster while this one waited for the accounts.
        found = allocations.due(connection, now, account_ids=account_ids)
        overrun = journal.taken(connection, [allocation.id for allocation in found], f"{OVERRUN}:")
        lines: list[journal.Line] = []
        ended: list[terms.Ended] = []
        for allocation in found:
            left = max(0, allocation.balance + overrun.get(allocation.id, 0))
            ended.append(terms.Ended(allocation.id, allocation.end_at, left))
            lines.append(
                journal.Line(
                    owner=owners[allocation.account_id],
                    allocation_id=allocation.id,
                    allocation_after=allocation.balance - left,
                    kind="expiry",
                    amount=-left,
                    actor="hubquota",
                    reason=f"The term is over; {format_credits(left)} credits that were left have lapsed.",
                    key=f"expiry:{allocation.id}",
                )
            )
        journal.add_lines(connection, lines, at=now)
        allocations.close(connection, [allocation.id for allocation in found], at=now)
        terms.add_ended(connection, ended)
        return len(found), renewed
