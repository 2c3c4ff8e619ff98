"""The ledger's numbers for Prometheus: a collector that any process can register."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from threading import Lock
from time import monotonic
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from hubquota.models.delivery import CHANNELS
from hubquota.models.money import to_credits
from hubquota.models.purge import ENDED, Stage
from hubquota.models.states import State
from hubquota.services.base import utc_now
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage import gauges
from hubquota.storage.engine import reading
from hubquota.storage.times import seconds

log = logging.getLogger(__name__)

#: Charges count when they are so many seconds old, so that none is missed that was still being written.
_SETTLED = 60
#: Seconds that one scrape may spend on adding up an old journal.
_CATCH_UP = 2.0
#: States that stand in the ledger as allocations.
_STATES = (
    State.APPROVED,
    State.ACTIVE,
    State.EXPIRING,
    State.EXHAUSTED,
    State.SUSPENDED,
    State.REVOKED,
    State.EXPIRED,
    State.GRACE,
)


class LedgerCollector(Collector):
    """Reads the ledger at a scrape. One process of a platform is enough to register it.

    A scrape that comes soon after another gets the same numbers. Where the database does not answer, there is
    `hubquota_ledger_up 0` and nothing else.
    """

    def __init__(
        self,
        engine: Engine,
        tiers: TiersFile | None = None,
        clock: Callable[[], datetime] = utc_now,
        *,
        per_account: bool = False,
        fresh: float = 10.0,
        catch_up: float = _CATCH_UP,
    ) -> None:
        """Read a ledger.

        Args:
            engine: from `hubquota.storage.make_engine`.
            tiers: says when an allocation counts as expiring; without it none does.
            clock: returns the time now, with its time zone.
            per_account: whether to tell each account's credits. That is a time series for every account.
            fresh: for how many seconds the numbers of a scrape stand.
            catch_up: seconds that a scrape may spend on what was charged before this process began.
        """
        self._engine = engine
        self._tiers = tiers
        self._clock = clock
        self._per_account = per_account
        self._fresh = fresh
        self._catch_up = catch_up
        self._charged = gauges.Charged()
        self._lock = Lock()
        self._read_at: float | None = None
        self._found: list[Metric] = []

    def describe(self) -> list[Metric]:
        """Return nothing: a registry would read the database otherwise when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what there is to tell."""
        with self._lock:
            if self._read_at is None or monotonic() - self._read_at >= self._fresh:
                try:
                    self._found = [*self._read(), _up(1)]
                except SQLAlchemyError as error:
                    log.warning("The ledger's numbers cannot be read: %s", error)
                    self._found = [_up(0)]
                self._read_at = monotonic()
            found = self._found
        yield from found

    def _read(self) -> Iterator[Metric]:
        now = seconds(self._clock())
        tiers = self._tiers.current().tiers if self._tiers is not None else {}
        with reading(self._engine) as connection:
            open_leases = gauges.open_leases(connection)
            credits_now = gauges.credits_by_tier(connection, now)
            expiring = {name: tier.expiring_days for name, tier in tiers.items()}
            states = gauges.allocations_by_state(connection, now, expiring)
            kinds = gauges.accounts_by_kind(connection)
            waiting, oldest = gauges.waiting_requests(connection)
            undelivered = gauges.undelivered(connection)
            things = gauges.purge_things(connection)
            plans = gauges.waiting_plans(connection)
            read = gauges.data_read(connection, now)
        yield _gauge("hubquota_open_leases", "Leases that are open.", ("kind", "state"), open_leases)
        for name, text, position in (
            ("hubquota_credits_posted", "Credits on the allocations that can pay now.", 0),
            ("hubquota_credits_held", "Credits that are held of them for what runs.", 1),
        ):
            found = {(tier,): _number(amounts[position]) for tier, amounts in credits_now.items()}
            yield _gauge(name, text, ("tier",), found)
        available = {(tier,): _number(posted - held) for tier, (posted, held) in credits_now.items()}
        yield _gauge(
            "hubquota_credits_available", "Credits that are neither spent nor held.", ("tier",), available
        )
        if self._caught_up(now):
            charged = CounterMetricFamily(
                "hubquota_credits_charged", "Credits that have been charged, up to a minute ago.", labels=["tier"]
            )
            for tier, amount in sorted(self._charged.by_tier.items()):
                charged.add_metric([tier], _number(amount))
            yield charged
        by_state = {(state.value,): states.get(state.value, 0) for state in _STATES}
        yield _gauge("hubquota_allocations", "Allocations, by their state.", ("state",), by_state)
        by_kind = {(kind,): number for kind, number in kinds.items()}
        yield _gauge("hubquota_accounts", "Accounts of users and of projects.", ("kind",), by_kind)
        yield _gauge("hubquota_open_requests", "Requests that nobody has decided about.", (), {(): waiting})
        if oldest is not None:
            text = "When the oldest of them was made."
            yield _gauge("hubquota_oldest_open_request_timestamp_seconds", text, (), {(): oldest})
        text = "Notices that have not been sent."
        yield _gauge("hubquota_undelivered_notices", text, ("channel", "state"), _undelivered(undelivered))
        text = "Things that approved purge plans are at work on or can give back, by their stage."
        by_stage = {(stage.value,): things.get(stage.value, 0) for stage in Stage if stage not in ENDED}
        yield _gauge("hubquota_purge_things", text, ("stage",), by_stage)
        text = "Purge plans that nobody has decided about."
        yield _gauge("hubquota_waiting_purge_plans", text, (), {(): plans})
        text = "Bytes of data sets that were read today (UTC), as their readers' programs report it."
        yield _gauge("hubquota_data_read_bytes", text, ("dataset", "region"), read)
        if self._per_account:
            yield self._accounts()

    def _caught_up(self, now: int) -> bool:
        """Add up what was charged since the last scrape; return whether it all is, for half a sum would lie."""
        begun = monotonic()
        more = True
        while more and monotonic() - begun < self._catch_up:
            with reading(self._engine) as connection:
                more = gauges.add_charges(connection, self._charged, now - _SETTLED)
        return not more

    def _accounts(self) -> Metric:
        ledger = Ledger(self._engine, self._clock)
        found: dict[tuple[str, ...], float] = {}
        after: str | None = None
        while page := ledger.accounts(limit=1000, after=after):
            found.update({(row.account.name,): _number(row.balance.available) for row in page})
            after = page[-1].account.name
        text = "Credits that an account has left, what it has run up taken off."
        return _gauge("hubquota_account_credits_available", text, ("account",), found)


def _undelivered(found: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Return the numbers with a zero where there is none, so that an alert has something to look at."""
    states = ("waiting", "failing", "given up")
    return {(channel, state): found.get((channel, state), 0) for channel in CHANNELS for state in states}


def _gauge(name: str, text: str, labels: tuple[str, ...], found: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in sorted(found.items()):
        family.add_metric(list(values), number)
    return family


def _up(value: int) -> Metric:
    return GaugeMetricFamily("hubquota_ledger_up", "Whether the ledger's database answered.", value=value)


def _number(units: int) -> float:
    # Prometheus has nothing else; the ledger's own arithmetic is done by now.
    return float(to_credits(units))
