"""What people are entitled to on some accounts, whose open allocations have been read for all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from hubquota.models.entitlement import Entitlement, deciding, entitlement_of
from hubquota.models.tiers import Tiers
from hubquota.storage import accounts, allocations, journal, overrides
from hubquota.storage.accounts import Owner
from hubquota.storage.times import moment


class Entitled:
    """Entitlements on some accounts at one moment, on a connection whose transaction somebody else opened."""

    def __init__(
        self, connection: Connection, owners: Sequence[Owner], rows: Mapping[int, Sequence[Any]], now: int
    ) -> None:
        """Read what else there is to know.

        Args:
            connection: the transaction's.
            owners: the accounts.
            rows: of each, what `allocations.open_rows` returned.
            now: the time.
        """
        self._connection = connection
        self._rows = rows
        self._now = now
        self._overrides = overrides.current(connection, [owner.id for owner in owners], now)

    def of(self, tiers: Tiers, owner: Owner, person: str) -> Entitlement:
        """Return what somebody is entitled to on one of the accounts.

        Raises:
            Refused: the account is on a tier that the file no longer has.
        """
        at = moment(self._now)
        found = [allocations.view(row) for row in self._rows[owner.id]]
        paying = sorted((one.id, one.tier) for one in found if one.pays_at(at))
        why = ""
        if paying:
            account = accounts.view_on(owner, [tier for _, tier in paying])
        else:
            # Those of earlier terms say something only where none pays now.
            found = allocations.of_account(self._connection, owner.id, self._now, lapsed=True)
            account = accounts.view(self._connection, owner, self._now)
            which = deciding(tiers, found, at)
            if which is not None and which.suspended_at is not None:
                why = journal.last_reason(self._connection, which.id, "suspension")
        given = self._overrides[owner.id]
        return entitlement_of(tiers, account, found, given, at, person=person, why_suspended=why)
