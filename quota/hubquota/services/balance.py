"""What an account can spend, told apart for people, and which of its terms are on."""

from __future__ import annotations

from collections.abc import Iterable

from hubquota.models.burn import Pool
from hubquota.models.ledger import Balance
from hubquota.storage.allocations import OpenPool


def terms_on(pools: Iterable[Pool], now: int) -> list[int]:
    """Return the numbers of the allocations whose term is on at a time, suspended or not."""
    return [pool.id for pool in pools if pool.start <= now and (pool.end is None or now < pool.end)]


def balance_of(pools: Iterable[OpenPool], burden: tuple[int, int], now: int) -> Balance:
    """Return what can be spent.

    Args:
        pools: the account's allocations whose books are open.
        burden: what its open leases have accrued, and how much of that no hold covers.
        now: the time.
    """
    paying = [pool for pool in pools if pool.pays_at(now)]
    return split_balance(sum(pool.balance for pool in paying), sum(pool.held for pool in paying), *burden)


def split_balance(posted: int, held: int, accrued: int, unheld: int) -> Balance:
    """Return what can be spent, told apart for people.

    What is not available of what is posted is what is held, and what was accrued beyond that. It is shown
    as what was accrued, and the rest as set aside.
    """
    taken = held + unheld
    shown = min(accrued, taken)
    return Balance(posted=posted, accrued=shown, set_aside=taken - shown)
