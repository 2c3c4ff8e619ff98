"""What people are entitled to on some accounts, for all of which together is read what there is to know."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from hubquota.models.entitlement import Entitlement, Offer, deciding, entitlement_of
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
        #: What can be started on accounts of which nothing but their tiers says it.
        self._plain: dict[tuple[int, tuple[str, ...]], Offer] = {}

    def offer(self, tiers: Tiers, book: Book, person: str) -> Offer:
        """Return what somebody can start on one of the accounts, which is locked.

        It is what `of` comes to. But where something pays and there is no override, as for nearly everybody,
        it follows from the tiers alone, and is worked out once for all of them.

        Raises:
            Refused: the account is on a tier that the file no longer has.
        """
        now = self._now
        pools = book.pools()
        if len(pools) == 1 and pools[0].pays_at(now):
            # As nearly always; what follows comes to the same.
            names: tuple[str, ...] = (pools[0].tier,)
        else:
            names = tuple([pool.tier for pool in pools if pool.pays_at(now)])
        if not names or self._overrides[book.owner.id]:
            return self.of(tiers, book.owner, person).offer(tiers)
        found = self._plain.get((id(tiers), names))
        if found is None:
            found = self._plain[id(tiers), names] = self.of(tiers, book.owner, person).offer(tiers)
        return found

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
        given = self._overrides[owner.id]
        return entitlement_of(tiers, account, found, given, at, person=person, why_suspended=why)
