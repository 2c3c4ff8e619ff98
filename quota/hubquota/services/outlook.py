"""The outlook: how long accounts last, what has to be stopped, and why the last thing ended."""

from __future__ import annotations

from sqlalchemy import Connection

from hubquota.models.burn import Pool, drain, exhausts_at
from hubquota.models.ledger import Lease
from hubquota.models.stops import Outlook
from hubquota.services.base import Service
from hubquota.storage import accounts, allocations, burden, holds, journal, leases
from hubquota.storage.engine import reading
from hubquota.storage.times import moment

#: What lasts for so many seconds counts as never ending: dates much further on do not exist.
_FOR_EVER = 1000 * 366 * 86_400


class Outlooks(Service):
    """Looks ahead. Nothing here writes."""

    def outlooks(self) -> list[Outlook]:
        """Return the outlook of every account on which something runs that costs."""
        now = self._now()
        with reading(self._engine) as connection:
            return [_outlook(connection, number, name, now) for number, name in leases.paying_accounts(connection)]

    def outlook(self, name: str) -> Outlook | None:
        """Return an account's outlook; None if there is no such account."""
        now = self._now()
        with reading(self._engine) as connection:
            owner = accounts.find(connection, name)
            return None if owner is None else _outlook(connection, owner.id, name, now)

    def to_stop(self, kind: str) -> list[Lease]:
        """Return the open leases of a kind that have to be stopped now, in the order of their admission.

        It is for whoever runs things of that kind: those whose stop has been announced, with the reason on
        the lease, and those that nothing can pay for any more.

        Args:
            kind: what runs, such as "dask-worker".
        """
        now = self._now()
        with reading(self._engine) as connection:
            found = leases.list_open(connection, now, kind=kind, owner=None, person=None)
            spent: dict[str, bool] = {}
            for lease in found:
                if lease.rate and lease.account not in spent:
                    owner = accounts.find(connection, lease.account)
                    end = None if owner is None else exhaustion(connection, owner.id, now)
                    spent[lease.account] = end is not None and end <= now
        return [
            lease
            for lease in found
            if lease.end_kind is not None or (lease.started_at is not None and lease.rate and spent[lease.account])
        ]


def exhaustion(connection: Connection, account_id: int, at: int) -> int | None:
    """Return the first second that an account cannot pay if what runs goes on as it does; None for never.

    It is computed from the balances, the allocations' dates and the rates.

    Args:
        connection: the transaction's.
        account_id: the account's number.
        at: from when on to look, in seconds since 1970.
    """
    rate = burden.running_rate(connection, account_id)
    if not rate:
        return None
    accrued, _ = burden.of_account(connection, account_id, at)
    pools = pools_for_running(connection, account_id, at)
    if drain(pools, accrued, at):
        return at
    end = exhausts_at(pools, rate, at)
    return None if end is None or end - at > _FOR_EVER else end


def pools_for_running(connection: Connection, account_id: int, at: int) -> list[Pool]:
    """Return what can pay for what an account runs already: what is free, and what is held for just that."""
    own = holds.held_by_running(connection, account_id, at)
    return [
        Pool(pool.id, pool.free + own.get(pool.id, 0), pool.start, pool.end, pool.suspended)
        for pool in allocations.open_pools(connection, account_id, at)
    ]


def _outlook(connection: Connection, account_id: int, name: str, now: int) -> Outlook:
    paying = [pool for pool in allocations.open_pools(connection, account_id, now) if pool.pays_at(now)]
    granted, funded = journal.funding(connection, [pool.id for pool in paying]) if paying else (0, 0)
    accrued, _ = burden.of_account(connection, account_id, now)
    people = accounts.members(connection, account_id, former=False)
    return Outlook(
        account=name,
        exhausts_at=moment(exhaustion(connection, account_id, now)),
        granted=granted,
        left=sum(pool.balance for pool in paying) - accrued,
        rate=burden.running_rate(connection, account_id),
        # What was granted for later counts as added when it begins to pay.
        funded_at=moment(max([funded, *(pool.start for pool in paying)])),
        owners=tuple(member.name for member in people if member.role == "pi") or (name,),
    )
