"""What people are entitled to on some accounts, for all of which together is read what there is to know."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from hubquota.models.entitlement import Entitlement, deciding, entitlement_of
from hubquota.models.tiers import Tiers
from hubquota.services.book import Book
from hubquota.storage import accounts, allocations, journal, overrides
from hubquota.storage.accounts import Owner
from hubquota.storage.times import moment


class Entitled:
    """Entitlements on some accounts at one moment, on a connection whose transaction somebody else opened."""

    def __init__(self, connection: Connection, owners: Sequence[Owner], now: int) -> None:
        """Read what there is to know.

        Args:
            connection: the transaction's.
            owners: the accounts.
            now: the time.
        """
        self._connection = connection
        self._now = now
        self._overrides = overrides.current(connection, [owner.id for owner in owners], now)

    def tiers_alone(self, book: Book) -> tuple[str, ...]:
        """Return the tiers from which alone it follows what can be started on one of the accounts.

        It does where something pays and there is no override, as on nearly every account: then `of` comes to
        what `offer_on` says. None of them where there is more to know.
        """
        if book.owner.id in self._overrides:
            return ()
        now = self._now
        return tuple([pool.tier for pool in book.pools() if pool.pays_at(now)])

    def of(self, tiers: Tiers, owner: Owner, person: str) -> Entitlement:
        """Return what somebody is entitled to on one of the accounts.

        Raises:
            Refused: the account is on a tier that the file no longer has.
        """
        at = moment(self._now)
        found = allocations.of_account(self._connection, owner.id, self._now, lapsed=False)
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
        given = self._overrides.get(owner.id, ())
        return entitlement_of(tiers, account, found, given, at, person=person, why_suspended=why)
