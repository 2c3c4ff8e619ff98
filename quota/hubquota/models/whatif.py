"""What a policy would have done to use that has been: a replay of leases, account by account, in memory.

Times are whole seconds since 1970 in UTC, amounts are units. Whatever ran is priced anew; of that, starts that
the policy refuses and what would have been stopped when the credits were out are taken away, and the rest is
what it would have charged. So `priced = charged + refused + stopped`, always.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

from hubquota.models.burn import Pool, draw, exhausts_at, lasts
from hubquota.models.kinds import CLUSTER, SCRATCH, SERVER, WORKER
from hubquota.models.ledger import AccountKind, Limit
from hubquota.models.scratch import gib_of
from hubquota.models.tiers import Tiers

#: Where the credits of an allocation come from: the budget that the policy gives its tier, what it was really
#: granted, or nothing ever runs out.
Budgets = Literal["tier", "granted", "unlimited"]

#: How the label of a server's lease ends, after the title of its size.
_SERVER_LABEL = " server"


@dataclass(frozen=True, slots=True)
class Used:
    """A part of a lease in which its rate did not change, cut to the range."""

    lease: int
    person: str
    kind: str
    label: str
    #: What it cost, in units a second.
    rate: int
    #: What the lease cost when it began, in units a second.
    first_rate: int
    start: int
    end: int
    #: Whether the lease began here: False for a later part, and for one that ran already at the range's start.
    begins: bool


@dataclass(slots=True)
class Source(Pool):
    """An allocation, as the policy would have it."""

    tier: str = ""


@dataclass(frozen=True, slots=True)
class RefusedStart:
    """A start that the policy would have refused."""

    lease: int
    person: str
    label: str
    at: int
    limit: Limit


@dataclass(slots=True)
class Sums:
    """What came of a tier's leases, or of an account's."""

    leases: int = 0
    #: What they were charged for, at the rates of then.
    actual: int = 0
    #: The same use at the policy's prices.
    priced: int = 0
    #: What of that would have run.
    charged: int = 0
    #: What of it belongs to starts that would have been refused.
    refused: int = 0
    #: What of it would have come after the credits were out.
    stopped: int = 0
    refused_starts: int = 0
    stopped_leases: int = 0


@dataclass(slots=True)
class Outcome:
    """What the policy would have done to one account."""

    account: str
    kind: AccountKind
    #: The policy's tiers that decided about its starts.
    tiers: tuple[str, ...] = ()
    sums: Sums = field(default_factory=Sums)
    #: The moments at which its credits would have been out while something ran.
    ran_out: list[int] = field(default_factory=list)
    refused: list[RefusedStart] = field(default_factory=list)


@dataclass(slots=True)
class Unmapped:
    """Leases that say too little for the policy's price: they keep their own."""

    leases: int = 0
    priced: int = 0


class Policy:
    """A tiers file, with the prices of each day."""

    def __init__(
        self,
        periods: Sequence[tuple[int, Tiers]],
        titles: Mapping[str, str] | None = None,
        *,
        prices_on: date | None = None,
    ) -> None:
        """Make a policy.

        Args:
            periods: the file as it is from a time on, in order of time; the first one counts before, too.
            titles: sizes' names by the titles that leases have; the policy's own titles if not given.
            prices_on: the day whose prices count throughout; each start's own day if not given.
        """
        self._from = [start for start, _ in periods]
        self._tiers = [tiers for _, tiers in periods]
        self._prices_on = prices_on
        sizes = self._tiers[-1].sizes
        own = Counter(size.title for size in sizes.values())
        # A title that two sizes have says nothing.
        known = {size.title: name for name, size in sizes.items() if own[size.title] == 1}
        self._titles = {**known, **(titles or {})}

    def at(self, time: int) -> Tiers:
        """Return what the file says at a time."""
        return self._tiers[max(0, bisect_right(self._from, time) - 1)]

    def storage_rate(self, gib: int, time: int) -> int:
        """Return what so many GiB of scratch cost that are opened at a time, in units a second."""
        day = self._prices_on or datetime.fromtimestamp(time, UTC).date()
        return self.at(time).storage_rate(gib, day)

    def size_of(self, label: str) -> str | None:
        """Return the name of the size that a server's label means, if the policy has it."""
        if not label.endswith(_SERVER_LABEL):
            return None
        name = self._titles.get(label.removesuffix(_SERVER_LABEL))
        return name if name in self._tiers[-1].sizes else None


class Replay:
    """Replays accounts one after the other, and adds up what comes of them."""

    def __init__(self, policy: Policy, *, minimum_seconds: int, unlimited: bool = False) -> None:
        """Replay under a policy.

        Args:
            policy: the policy.
            minimum_seconds: how many seconds of all that runs a start needs credits for.
            unlimited: whether credits never run out.
        """
        self.policy = policy
        self.total = Sums()
        self.tiers: dict[str, Sums] = {}
        self.unmapped: dict[tuple[str, str], Unmapped] = {}
        self.accounts = 0
        self.accounts_out = 0
        self._minimum = minimum_seconds
        self._unlimited = unlimited

    def account(
        self, name: str, kind: AccountKind, opened_on: str, sources: Sequence[Source], parts: Iterable[Used]
    ) -> Outcome:
        """Return what would have come of an account.

        Args:
            name: the account's name.
            kind: whose it is.
            opened_on: the tier that it is on while it has no allocation that pays.
            sources: its allocations under the policy, with what they have at the range's start.
            parts: what it ran, in order of time.
        """
        run = _Account(self, Outcome(name, kind), opened_on, list(sources))
        for part in parts:
            run.take(part)
        run.finish()
        self.accounts += 1
        self.accounts_out += bool(run.outcome.ran_out)
        run.outcome.tiers = tuple(sorted(run.tiers_seen))
        return run.outcome

    def can_start(self, sources: Sequence[Source], rate: int, at: int) -> bool:
        """Return whether there are credits for the first minutes at a rate."""
        return self._unlimited or not rate or lasts(sources, rate, at, at + self._minimum) == self._minimum

    def spend(self, sources: Sequence[Source], rate: int, since: int, until: int) -> int:
        """Take what a rate costs from the sources; return up to when there was enough."""
        if self._unlimited or not rate:
            return until
        out = exhausts_at(sources, rate, since)
        covered = until if out is None else min(out, until)
        draw(sources, rate, since, covered)
        return covered


@dataclass(slots=True)
class _Lease:
    """One lease while it is replayed."""

    kind: str
    #: The policy's units a second; None where it keeps its own.
    price: int | None
    #: What it cost when it began, in units a second.
    first_rate: int
    sums: Sums
    state: Literal["runs", "refused", "stopped"]
    #: How large a scratch space is, in GiB; 0 for anything else.
    gib: int
    #: What it costs now under the policy, and until when.
    rate: int = 0
    end: int = 0

    def rate_at(self, rate: int) -> int:
        """Return what it costs under the policy where it really cost a rate, in units a second.

        Where it was scaled while it ran, the policy's price is scaled alike, rounded down.
        """
        if self.price is None:
            return rate
        if rate == self.first_rate or not self.first_rate:
            return self.price
        return self.price * rate // self.first_rate


class _Account:
    """One account while it is replayed."""

    def __init__(self, replay: Replay, outcome: Outcome, opened_on: str, sources: list[Source]) -> None:
        self.outcome = outcome
        self.tiers_seen: set[str] = set()
        self._replay = replay
        self._opened_on = opened_on
        self._sources = sources
        self._now = 0
        self._leases: dict[int, _Lease] = {}
        self._running: dict[int, _Lease] = {}
        self._rate = 0
        self._ends: list[tuple[int, int]] = []

    def take(self, part: Used) -> None:
        """Go on to where a part begins, and decide about it."""
        self._advance(part.start)
        self._now = part.start
        lease = self._leases.get(part.lease) or self._meet(part)
        lease.rate, lease.end = lease.rate_at(part.rate), part.end
        amount = lease.rate * (part.end - part.start)
        for sums in self._all(lease):
            sums.actual += part.rate * (part.end - part.start)
            sums.priced += amount
            if lease.state == "refused":
                sums.refused += amount
            elif lease.state == "stopped":
                sums.stopped += amount
        if lease.price is None:
            self._replay.unmapped[part.kind, part.label].priced += amount
        if lease.state == "runs":
            self._running[part.lease] = lease
            self._rate += lease.rate
            heapq.heappush(self._ends, (part.end, part.lease))

    def finish(self) -> None:
        """Go on to where nothing runs any more."""
        while self._ends:
            self._advance(self._ends[0][0])

    def _meet(self, part: Used) -> _Lease:
        """Decide about a lease when it is seen first."""
        policy, tiers = self._replay.policy, self._replay.policy.at(part.start)
        tier = self._tier(tiers)
        self.tiers_seen.add(tier)
        sums = self._replay.tiers.setdefault(tier, Sums())
        size = policy.size_of(part.label) if part.kind == SERVER else None
        gib = gib_of(part.label) if part.kind == SCRATCH else None
        price: int | None = None
        if size is not None:
            price = tiers.sizes[size].rate
        elif part.kind == WORKER and tier in tiers.tiers:
            price = tiers.tiers[tier].dask.rate
        elif gib is not None:
            price = policy.storage_rate(gib, part.start)
        elif part.kind == CLUSTER:
            # Free: what costs are its workers.
            price = 0
        lease = self._leases[part.lease] = _Lease(part.kind, price, part.first_rate, sums, "runs", gib or 0)
        if price is None:
            self._replay.unmapped.setdefault((part.kind, part.label), Unmapped()).leases += 1
        limit = (
            self._against(tiers, tier, part, size, lease.gib, lease.rate_at(part.rate)) if part.begins else None
        )
        for one in self._all(lease):
            one.leases += 1
            one.refused_starts += limit is not None
        if limit is not None:
            lease.state = "refused"
            self.outcome.refused.append(RefusedStart(part.lease, part.person, part.label, part.start, limit))
        return lease

    def _against(self, tiers: Tiers, tier: str, part: Used, size: str | None, gib: int, rate: int) -> Limit | None:
        if tier not in tiers.tiers:
            return "tier"
        if size is not None and size not in tiers.tiers[tier].sizes:
            return "size"
        if part.kind == WORKER:
            workers = sum(one.kind == WORKER for one in self._running.values())
            if workers >= tiers.tiers[tier].dask.workers:
                return "count"
        if gib and gib + sum(one.gib for one in self._running.values()) > tiers.tiers[tier].storage.scratch_gib:
            return "size"
        if rate and not self._replay.can_start(self._sources, self._rate + rate, part.start):
            return "budget"
        return None

    def _tier(self, tiers: Tiers) -> str:
        paying = [source.tier for source in self._sources if source.pays_at(self._now)]
        return tiers.largest(paying or [self._opened_on])

    def _advance(self, until: int) -> None:
        """Let what runs go on up to a time, and stop it where the credits are out."""
        while self._ends and self._now < until:
            step = min(until, self._ends[0][0])
            covered = self._replay.spend(self._sources, self._rate, self._now, step)
            for lease in self._running.values():
                for sums in self._all(lease):
                    sums.charged += lease.rate * (covered - self._now)
            if covered < step:
                self._stop(covered)
                continue
            self._now = step
            while self._ends and self._ends[0][0] <= step:
                _, number = heapq.heappop(self._ends)
                self._rate -= self._running.pop(number).rate

    def _stop(self, at: int) -> None:
        # What costs nothing may go on, as in the ledger.
        self.outcome.ran_out.append(at)
        self._now = at
        for number, lease in list(self._running.items()):
            if not lease.rate:
                continue
            lease.state = "stopped"
            for sums in self._all(lease):
                sums.stopped += lease.rate * (lease.end - at)
                sums.stopped_leases += 1
            del self._running[number]
        self._rate = 0
        self._ends = [(end, number) for end, number in self._ends if number in self._running]
        heapq.heapify(self._ends)

    def _all(self, lease: _Lease) -> tuple[Sums, Sums, Sums]:
        return self.outcome.sums, lease.sums, self._replay.total
