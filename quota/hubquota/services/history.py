"""What happened, for people to read: an account's story by sessions, and the journal of all accounts."""

from __future__ import annotations

from hubquota.models.burn import drain, exhausts_at
from hubquota.models.burndown import BurnDown, Forecast, project
from hubquota.models.ledger import Entry, Lease, UnknownLeaseError
from hubquota.models.reading import (
    AuditPage,
    AuditQuery,
    ChargesPage,
    Deed,
    History,
    LastAdded,
    Place,
    Session,
    check_query,
)
from hubquota.services.base import Service, known
from hubquota.services.outlook import pools_for_running
from hubquota.storage import allocations, burden, deeds, history, leases
from hubquota.storage.engine import reading
from hubquota.storage.times import DAY, moment, seconds

#: How many points the past of a picture has at most.
_POINTS = 120


class Histories(Service):
    """Reads the journal. Nothing here writes."""

    def history(self, name: str, *, limit: int = 50, before: int | None = None) -> History:
        """Return an account's journal, newest first, with all charges of a session as one line.

        A session is where its last charge is, with all that it was charged; balances are told in that order.

        Args:
            name: the account's name.
            limit: how many lines at most.
            before: only lines whose number is below this: `next_before` of the page before.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            owner, now = known(connection, name), self._now()
            found = history.by_session(connection, owner.id, limit=limit + 1, before=before)
            shown = found[:limit]
            numbers = [entry.lease_id for entry in shown if entry.lease_id is not None]
            sums = history.session_sums(connection, numbers)
            sessions = {lease.id: lease for lease in leases.of_ids(connection, numbers, now)}
            balance = 0
            if shown:
                balance = shown[0].balance_after - history.charged_before(connection, owner.id, shown[0])
        lines = tuple(
            entry if entry.lease_id is None else Session(sessions[entry.lease_id], *sums[entry.lease_id], entry)
            for entry in shown
        )
        after: list[int] = []
        for line in lines:
            after.append(balance)
            balance -= line.amount
        return History(lines, tuple(after), shown[-1].id if len(found) > limit and shown else None)

    def session(self, lease_id: int) -> Lease:
        """Return the lease of that number.

        Raises:
            UnknownLeaseError: there is none.
        """
        with reading(self._engine) as connection:
            found = leases.find(connection, lease_id, self._now())
        if found is None:
            raise UnknownLeaseError(f"There is no session {lease_id}.")
        return found

    def charges(self, lease_id: int, *, limit: int = 50, before: int | None = None) -> ChargesPage:
        """Return the charges of one session, newest first: a long one is charged slice by slice."""
        with reading(self._engine) as connection:
            found = history.of_lease(connection, lease_id, limit=limit + 1, before=before)
        shown = tuple(found[:limit])
        return ChargesPage(shown, shown[-1].id if len(found) > limit and shown else None)

    def last_added(self, name: str) -> LastAdded | None:
        """Return the last line that added credits to an account, and what went since; None if none ever did.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            owner = known(connection, name)
            entry = history.last_added(connection, owner.id)
        return None if entry is None else LastAdded(entry, entry.balance_after - owner.balance)

    def burn_down(self, name: str, *, past_days: int = 30, horizon_days: int = 30) -> BurnDown:
        """Return how an account's balance went, and how it goes on while what runs now goes on.

        Args:
            name: the account's name.
            past_days: how far to look back.
            horizon_days: how far to look ahead where nothing ends or is used up before.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with self._reading_of(name) as connection:
            owner, now = known(connection, name), self._now()
            rate = burden.running_rate(connection, owner.id)
            shown = allocations.of_account(connection, owner.id, now, lapsed=False)
            accrued, _ = burden.of_account(connection, owner.id, now)
            pools = pools_for_running(connection, owner.id, now)
            since = max(owner.created_at, now - past_days * DAY)
            past = history.balances(connection, owner.id, since=since, until=now, points=_POINTS)
        # As in `exhausts_at`: what has run up is taken first.
        short = drain(pools, accrued, now)
        ends_at = now if short and rate else exhausts_at(pools, rate, now)
        dates = [pool.end for pool in pools if pool.end is not None and pool.end > now]
        until = max([now + DAY, *dates, *([] if ends_at is None else [ends_at])])
        # The projected end is on the picture, where it comes within a year.
        shown_end = 0 if ends_at is None else min(ends_at + DAY, now + 366 * DAY)
        until = min(until, max(shown_end, now + max(horizon_days * DAY, 4 * DAY, 2 * (now - since))))
        steps = project(pools, rate, now, until)
        return BurnDown(
            account=name,
            now=moment(now),
            rate=rate,
            exhausts_at=moment(ends_at),
            allocations=tuple(shown),
            past=tuple(past),
            future=tuple(Forecast(moment(step.at), step.left) for step in steps),
        )

    def audit(self, query: AuditQuery, *, limit: int = 100, before: Place | None = None) -> AuditPage:
        """Return what was decided on all accounts, newest first: the journal's lines, and what is kept beside it.

        Args:
            query: what of it.
            limit: how many at most.
            before: `next_before` of the page before.

        Raises:
            ValueError: the query cannot be answered; see `check_query`.
        """
        check_query(query)
        with reading(self._engine) as connection:
            found: list[tuple[Place, Entry | Deed]] = []
            if not query.beside:
                lines = history.audit(connection, query, limit=limit + 1, before=before)
                found += [(Place(seconds(line.at), 0, line.id), line) for line in lines]
            if query.beside or query.kind == "acts":
                found += deeds.deeds(connection, query, limit=limit + 1, before=before)
        found.sort(key=lambda one: one[0].order)
        shown = found[:limit]
        return AuditPage(tuple(line for _, line in shown), shown[-1][0] if len(found) > limit and shown else None)
