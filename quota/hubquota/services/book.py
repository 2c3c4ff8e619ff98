"""An account's book: what a decision reads and writes while it has the account locked.

Everything here happens on one connection, in a transaction that somebody else opened, and with the account's
row locked. Amounts are units, times whole seconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from hubquota.models.burn import Part, Pool, drain, draw, in_order, lasts, whole
from hubquota.models.caps import Cap, MemberUse
from hubquota.models.ledger import Balance, EntryKind, ImpossibleError, Lease, Role
from hubquota.models.money import format_price, price_of
from hubquota.models.stops import EndKind
from hubquota.models.tiers import Tiers
from hubquota.services.balance import balance_of, terms_on
from hubquota.services.termwork import renew_due
from hubquota.storage import accounts, additional, allocations, burden, caps, holds, journal, leases, terms
from hubquota.storage.accounts import Owner
from hubquota.storage.allocations import OpenPool
from hubquota.storage.burden import Open, Running
from hubquota.storage.times import seconds

#: Seconds after an admission within which a begin has to be told of. After that the lease counts as abandoned.
START_LIMIT = 3600
#: Seconds after the time that a hold covers in which it is still respected.
HOLD_GRACE = 3600
#: Begins the key of a charge for a time at which no allocation could pay. What such a charge takes from an
#: allocation is owed beside what it has, and never paid by what is about to lapse.
OVERRUN = "overrun"
#: While a lease runs, so many seconds are held ahead at a time.
SLICE_SECONDS = 3600
_NOBODY: Mapping[str, Any] = MappingProxyType({})


class Book:
    """One locked account."""

    # A decision about many starts makes as many of these. Only a project has any of this, so nearly every book
    # shares it; what is known more is put into copies.
    _spent: Mapping[str, int] = _NOBODY
    _roles: Mapping[str, Role | None] = _NOBODY
    _caps: Mapping[str, Cap | None] = _NOBODY
    #: What was admitted and is in neither of what was read: who runs it, of which kind it is, what is held for it.
    _admitted: tuple[tuple[str, str, Sequence[Part]], ...] = ()

    def __init__(
        self,
        connection: Connection,
        owner: Owner,
        now: int,
        pools: list[OpenPool] | None = None,
        running: Open | None = None,
        *,
        tiers: Callable[[], Tiers] | None = None,
    ) -> None:
        """Open an account's book.

        Args:
            connection: the transaction's.
            owner: the account, locked.
            now: the time.
            pools: what `pools` returns, where it was read already.
            running: what `running` returns, where it was read already.
            tiers: returns the tiers as they are now. Without it, what renews itself waits for a sweep.
        """
        self.connection = connection
        self.owner = owner
        self.now = now
        self._pools = pools
        self._running = running
        #: None where nothing is to be renewed, or where that was seen to.
        self._tiers = tiers
        if pools is not None:
            self._renew_due(pools)

    # What there is -----------------------------------------------------------------------------------

    def pools(self) -> list[OpenPool]:
        """Return the allocations whose books are open, each with what is neither spent nor held."""
        if self._admitted:
            self._take_in()
        if self._pools is None:
            self._pools = allocations.open_pools(self.connection, self.owner.id, self.now)
            self._renew_due(self._pools)
        return self._pools

    def _renew_due(self, pools: Sequence[OpenPool]) -> None:
        """Make up for a sweep that is late: renew what renews itself, where an end has come or is about to.

        Nothing that is decided or charged then depends on when a sweep comes by. Where they come in time, there is
        next to nothing to do.
        """
        if self._tiers is None:
            return
        soon = self.now + SLICE_SECONDS
        ending = {pool.tier for pool in pools if pool.end is not None and pool.end <= soon}
        if not ending:
            return
        tiers, self._tiers = self._tiers(), None
        theirs = {name: tier for name, tier in tiers.tiers.items() if name in ending}
        if renew_due(self.connection, {self.owner.id: self.owner}, self.now, theirs):
            self._pools = allocations.open_pools(self.connection, self.owner.id, self.now)

    def running(self) -> Open:
        """Return what is open on the account, by who runs it and of which kind it is."""
        if self._admitted:
            self._take_in()
        if self._running is None:
            found = burden.running(self.connection, [self.owner.id], self.now, self.now - START_LIMIT)
            self._running = found.get(self.owner.id, burden.NOTHING)
        return self._running

    def burden(self) -> tuple[int, int]:
        """Return what open leases have accrued, and how much of that no hold covers."""
        accrued = unheld = 0
        for one in self.running().values():
            accrued += one.accrued
            unheld += one.unheld
        return accrued, unheld

    def number(self, kind: str, person: str | None = None) -> int:
        """Return how many open leases there are of a kind, or how many of them somebody has."""
        if person is not None:
            one = self.running().get((person, kind))
            return 0 if one is None else one.number
        return sum(one.number for (_, what), one in self.running().items() if what == kind)

    def changed(self) -> None:
        """Forget what was read: a hold, a charge or an allocation has changed."""
        self._pools = self._running = None
        self._admitted = ()
        self._spent = _NOBODY

    def know_members(
        self, roles: Mapping[str, Role | None], caps_: Mapping[str, Cap | None], spent: Mapping[str, int]
    ) -> None:
        """Take what was read of some people in a project.

        Args:
            roles: what each of them is there.
            caps_: the cap on each of them.
            spent: what those with a cap were charged in the terms that are on.
        """
        self._roles = {**self._roles, **roles}
        self._caps = {**self._caps, **caps_}
        self._spent = {**self._spent, **spent}

    def spendable(self, *, besides: int = 0) -> list[Pool]:
        """Return copies of the pools, less what runs owes already and no hold covers.

        Args:
            besides: how much of that to leave out, because it is about to be held.
        """
        _, unheld = self.burden()
        copies = [Pool(pool.id, pool.free, pool.start, pool.end, pool.suspended) for pool in self.pools()]
        owed = drain(copies, unheld - besides, self.now)
        if owed:
            # Nobody can pay it, so it is a debt: of whichever pays last.
            paying = [pool for pool in in_order(copies) if pool.pays_at(self.now)]
            if paying:
                paying[-1].free -= owed
        return copies

    def balance(self) -> Balance:
        """Return what the account can spend."""
        return balance_of(self.pools(), self.burden(), self.now)

    def afford(self, rate: int, wanted: int) -> Sequence[Part] | None:
        """Return who would pay so many seconds from now on at a rate; None where they cannot all be paid."""
        pools = self.spendable() if self.running() and self.burden()[1] else self.pools()
        return whole(pools, rate, self.now, self.now + wanted)

    # Caps on members ---------------------------------------------------------------------------------

    def cap(self, person: str) -> Cap | None:
        """Return the cap on a member of a project; of a user's account there is none."""
        if self.owner.kind != "project":
            return None
        if person not in self._caps:
            self._caps = {**self._caps, person: caps.find(self.connection, self.owner.id, person)}
        return self._caps[person]

    def role(self, person: str) -> Role | None:
        """Return what somebody is in a project."""
        if person not in self._roles:
            self._roles = {**self._roles, person: accounts.role_of(self.connection, self.owner.id, person)}
        return self._roles[person]

    def use(self, person: str, cap: Cap | None) -> MemberUse:
        """Return what somebody has used of a project in the terms that are on."""
        if person not in self._spent:
            self._spent = {**self._spent, person: caps.spent(self.connection, person, self.in_term())}
        taken = sum(one.taken for (who, _), one in self.running().items() if who == person)
        return MemberUse(person, self._spent[person], taken, cap)

    def in_term(self) -> list[int]:
        """Return the numbers of the allocations whose term is on, suspended or not."""
        return terms_on(self.pools(), self.now)

    # Holds -------------------------------------------------------------------------------------------

    def hold(
        self,
        lease_id: int,
        *,
        person: str,
        rate: int,
        since: int,
        wanted: int,
        begin_by: int | None = None,
        unheld: int = 0,
    ) -> int:
        """Hold what some seconds of a lease cost, as many as can be paid and a cap allows. Return how many.

        Args:
            lease_id: the lease's number.
            person: who runs it.
            rate: what it costs, in units a second.
            since: the first second to hold for.
            wanted: how many seconds.
            begin_by: until when what is held waits for the begin; None for a lease that has begun.
            unheld: what of the lease's own debts is within those seconds.
        """
        if not rate or wanted <= 0:
            return 0
        held, parts = self.plan(person=person, rate=rate, since=since, wanted=wanted, unheld=unheld)
        covered = since + held
        expiry = covered + HOLD_GRACE if begin_by is None else begin_by
        if begin_by is None:
            holds.move(self.connection, lease_id, covered=covered, expiry=expiry)
        rows = [(lease_id, part.pool, part.amount, covered, expiry) for part in parts]
        holds.add_many(self.connection, rows)
        self.changed()
        return held

    def plan(self, *, person: str, rate: int, since: int, wanted: int, unheld: int = 0) -> tuple[int, list[Part]]:
        """Return how many seconds `hold` would hold, and of which allocations how much."""
        if not rate or wanted <= 0:
            return 0, []
        pools = self.spendable(besides=unheld)
        held = lasts(pools, rate, since, since + wanted)
        cap = self.cap(person)
        if cap is not None and (left := self.use(person, cap).left) is not None:
            held = min(held, max(0, left + unheld) // rate)
        parts, _ = draw(pools, rate, since, since + held)
        return held, parts

    def admitted(self, person: str, kind: str, parts: Sequence[Part]) -> None:
        """Go on as if a lease that begins to hold these parts had been read, with what else there is."""
        if self._pools is None or self._running is None:
            # What is read after it was written has it already.
            self.pools(), self.running()
        # Of most accounts nothing more is asked in the same decision, so it waits until something is.
        self._admitted += ((person, kind, parts),)

    def _take_in(self) -> None:
        """Put what was admitted to what was read before."""
        admitted, self._admitted = self._admitted, ()
        running = dict(self.running())
        free = {pool.id: pool for pool in self.pools()}
        for person, kind, parts in admitted:
            mine = running.setdefault((person, kind), Running())
            mine.number += 1
            for number, amount in parts:
                mine.taken += amount
                free[number].free -= amount
        self._running = running

    def release(self, lease: Lease) -> None:
        """Let go of everything that is held for a lease."""
        holds.drop_all(self.connection, lease.id)
        self.changed()

    # Charges -----------------------------------------------------------------------------------------

    def settle(self, lease: Lease, until: int, *, actor: str) -> None:
        """Charge a lease that runs for what it ran since it was charged last."""
        if lease.settled_at is None:
            return
        since = seconds(lease.settled_at)
        if until <= since:
            return
        cost = lease.rate * (until - since)
        if cost:
            self._charge(lease, since, until, actor=actor)
        leases.settle(self.connection, lease.id, at=until, cost=cost)
        self.changed()

    def settle_all(self, *, actor: str) -> None:
        """Charge everything that runs up to when it was last seen, before the allocations change."""
        for lease in leases.open_of(self.connection, self.owner.id, self.now):
            if lease.last_alive is not None:
                self.settle(lease, min(seconds(lease.last_alive), self.now), actor=actor)

    def end(self, lease: Lease, *, at: int, reason: str, actor: str, kind: EndKind | None = None) -> None:
        """End a lease, charged up to its end, and let go of what is held for it."""
        cost: int | None = None
        if lease.settled_at is not None:
            since = seconds(lease.settled_at)
            at = max(at, since)
            if cost := lease.rate * (at - since):
                self._charge(lease, since, at, actor=actor)
        leases.end(self.connection, lease.id, at=at, reason=reason, kind=kind, cost=cost)
        self.changed()

    def _charge(self, lease: Lease, since: int, until: int, *, actor: str) -> None:
        paid = self._capture(lease, lease.rate * (until - since))
        left_from = since + sum(paid.values()) // lease.rate
        overrun: tuple[int, int] | None = None
        if left_from < until:
            # Past what was held: from what is free, and what nobody can pay is a debt.
            pools = self.pools()
            for pool in pools:
                pool.free -= paid.get(pool.id, 0)
            parts, short = draw(pools, lease.rate, left_from, until)
            if short:
                debtor, in_term = self._debtor(until - 1)
                if in_term:
                    parts = [*parts, Part(debtor, short)]
                else:
                    overrun = debtor, short
            for part in parts:
                paid[part.pool] = paid.get(part.pool, 0) + part.amount
        ran = f"{lease.label}, {until - since} s at {format_price(price_of(lease.rate))} credits an hour"
        shared = " (a part of it: others pay the rest)" if len(paid) + (overrun is not None) > 1 else ""
        lines = [("charge", number, amount, shared) for number, amount in paid.items()]
        if overrun is not None:
            lines.append((OVERRUN, *overrun, " (no allocation could pay for it)"))
        for what, number, amount, remark in lines:
            self.post(
                number,
                "charge",
                -amount,
                actor=actor,
                reason=f"{ran}{remark}",
                key=f"{what}:{lease.id}:{since}:{number}",
                lease_id=lease.id,
            )
            if self.owner.kind == "project":
                caps.add_spent(self.connection, number, lease.person, amount)

    def _capture(self, lease: Lease, cost: int) -> dict[int, int]:
        """Take a cost from what is held for a lease, as far as that goes. Return who pays what."""
        paid: dict[int, int] = {}
        for row in holds.of_lease(self.connection, lease.id):
            # What has expired may be somebody else's by now.
            taken = min(row.amount, cost) if row.expires_at > self.now else 0
            if not taken and row.expires_at > self.now:
                break
            cost -= taken
            holds.shrink(self.connection, row.id, row.amount - taken if taken else 0)
            if taken:
                paid[row.allocation_id] = paid.get(row.allocation_id, 0) + taken
        self.changed()
        return paid

    def _debtor(self, at: int) -> tuple[int, bool]:
        """Return who owes what nobody could pay at a time, and whether its term was on then.

        By the dates alone, so that it does not depend on whether a sweep has come by.
        """
        ordered = in_order(self.pools())
        paying = [pool for pool in ordered if pool.pays_at(at)]
        in_term = [pool for pool in ordered if pool.start <= at and (pool.end is None or at < pool.end)]
        if found := paying or in_term:
            return found[-1].id, True
        newest = allocations.newest(self.connection, self.owner.id, at)
        if newest is None:
            raise ImpossibleError(f"{self.owner.name} has no allocation that could be charged.")
        return newest, False

    # The journal -------------------------------------------------------------------------------------

    def post(
        self,
        allocation_id: int,
        kind: EntryKind,
        amount: int,
        *,
        actor: str,
        reason: str,
        key: str,
        lease_id: int | None = None,
        end: int | None = None,
    ) -> None:
        """Add a line to the journal."""
        journal.add(
            self.connection,
            self.owner,
            allocation_id,
            at=self.now,
            kind=kind,
            amount=amount,
            actor=actor,
            reason=reason,
            key=key,
            lease_id=lease_id,
            end=end,
        )
        self.changed()

    def grant(
        self,
        *,
        tier: str,
        units: int,
        start: int,
        end: int | None,
        renewable: bool,
        actor: str,
        reason: str,
        key: str,
        follows: int | None = None,
    ) -> int:
        """Open an allocation with credits on it, which may follow on another one; return its number."""
        number = allocations.add(
            self.connection,
            self.owner.id,
            tier=tier,
            start=start,
            end=end,
            renewable=renewable,
            reason=reason,
            actor=actor,
            now=self.now,
        )
        if follows is None:
            additional.note(self.connection, [number])
        else:
            additional.note_following(self.connection, number, follows)
            terms.add_renewals(self.connection, [(follows, number)], at=self.now, actor=actor)
        self.post(number, "grant", units, actor=actor, reason=reason, key=key, end=end)
        return number

    def revoke(self, allocation_id: int, *, actor: str, reason: str, key: str) -> None:
        """End an allocation's term now."""
        self.post(
            allocation_id, "revocation", 0, actor=actor, reason=reason, key=f"revocation:{key}", end=self.now
        )
        allocations.set_fact(self.connection, allocation_id, end_at=self.now, revoked_at=self.now)

    def between(self, earliest: datetime, at: datetime | None) -> int:
        """Return a time as told, kept between an earlier one and now.

        A clock that was set back, or another machine's, must not make a charge negative or too long.
        """
        wanted = self.now if at is None else min(seconds(at), self.now)
        return max(seconds(earliest), wanted)
