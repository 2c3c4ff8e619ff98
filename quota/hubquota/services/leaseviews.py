"""Looking at leases: what runs, what it cost part by part, and what ended last."""

from __future__ import annotations

from hubquota.models.ledger import Lease, Segment
from hubquota.services.base import Service
from hubquota.storage import leases
from hubquota.storage.engine import reading


class LeaseViews(Service):
    """Reads leases. Nothing here writes."""

    def lease(self, lease_id: int) -> Lease | None:
        """Return the lease of that number, or None."""
        with reading(self._engine) as connection:
            return leases.find(connection, lease_id, self._now())

    def segments(self, lease_id: int) -> list[Segment]:
        """Return the parts of a lease between changes of its rate, in order."""
        with reading(self._engine) as connection:
            return leases.segments(connection, lease_id)

    def open_lease(self, key: str) -> Lease | None:
        """Return the open lease that has the key, or None."""
        with reading(self._engine) as connection:
            found = leases.find_open(connection, key, self._now())
            return None if found is None else found[0]

    def open_leases(
        self, kind: str | None = None, account: str | None = None, *, person: str | None = None
    ) -> list[Lease]:
        """Return open leases in the order of their admission: all, of a kind, an account, a person."""
        with reading(self._engine) as connection:
            return leases.list_open(connection, self._now(), kind=kind, owner=account, person=person)

    def last_end(self, person: str, kind: str, key: str | None = None) -> Lease | None:
        """Return the lease of somebody's that ended last, or None.

        Args:
            person: who ran it.
            kind: what ran, such as "server".
            key: only what had this key.
        """
        with reading(self._engine) as connection:
            return leases.last_ended(connection, person, kind, key, self._now())
