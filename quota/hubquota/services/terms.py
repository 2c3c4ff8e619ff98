"""What dates bring about at the end of a term: reminders, renewals, the news of the end, and grace.

All of it follows from dates alone: when an allocation ends, and when its account was used. So a late or a
doubled sweep writes the same notices and makes the same allocations as one in time, each once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Engine

from hubquota.models import letters
from hubquota.models.ledger import TermsSwept
from hubquota.models.letters import Letter
from hubquota.models.tiers import Tier, Tiers
from hubquota.models.words import number_text
from hubquota.services.base import Service, utc_now
from hubquota.storage import accounts, allocations, journal, notices, terms
from hubquota.storage.accounts import Owner
from hubquota.storage.engine import decision, reading
from hubquota.storage.terms import Term
from hubquota.storage.times import DAY, moment

#: How many allocations are dealt with in one transaction: others wait no longer than that takes.
_BATCH = 200
#: An allocation that renews itself does so at least so many days before its end, so that there is no gap.
_AHEAD = 1


class Terms(Service):
    """Looks after the ends of terms, by the tiers file's dates."""

    def __init__(
        self, engine: Engine, tiers: Callable[[], Tiers], clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Use a ledger's database, and a function that returns the tiers as they are now."""
        super().__init__(engine, clock)
        self._tiers = tiers

    def sweep(self) -> TermsSwept:
        """Do everything that is due. Safe to be interrupted, repeated, and done by several at once."""
        tiers = self._tiers()
        # First what is over: what follows on it, made late, may be near its own end already.
        ended, (renewed, reminded) = self._ended(tiers)
        for name, tier in tiers.tiers.items():
            more = self._near(name, tier)
            renewed, reminded = renewed + more[0], reminded + more[1]
        return TermsSwept(renewed=renewed, reminded=reminded, ended=ended, over=self._over())

    def _near(self, name: str, tier: Tier) -> tuple[int, int]:
        renewed, reminded, after = 0, 0, (0, 0)
        days = None if tier.renews_itself is None else tier.renews_itself.active_within_days
        find = partial(terms.near, tier=name, window=_window(tier), active_within_days=days)
        while True:
            with reading(self._engine) as connection:
                found = find(connection, now=self._now(), after=after, limit=_BATCH)
            if not found:
                return renewed, reminded
            after = found[-1].end_at, found[-1].id
            with decision(self._engine) as connection:
                ids = {term.account_id for term in found}
                work = _Work(connection, accounts.lock_ids(connection, ids), self._now())
                # Read again: another sweep may have been faster while this one waited for the accounts.
                more = work.towards_end(tier, find(connection, now=work.now, account_ids=ids))
                work.finish()
            renewed, reminded = renewed + more[0], reminded + more[1]

    def _ended(self, tiers: Tiers) -> tuple[int, tuple[int, int]]:
        ended = renewed = reminded = 0
        while True:
            with reading(self._engine) as connection:
                found = terms.untold(connection, limit=_BATCH)
            if not found:
                return ended, (renewed, reminded)
            with decision(self._engine) as connection:
                ids = {term.account_id for term in found}
                work = _Work(connection, accounts.lock_ids(connection, ids), self._now())
                mine = terms.untold(connection, account_ids=ids)
                for name, tier in tiers.tiers.items():
                    # What nobody came by for in time is made good first.
                    more = work.towards_end(tier, [term for term in mine if term.tier == name])
                    renewed, reminded = renewed + more[0], reminded + more[1]
                work.tell_ended(tiers, mine)
                work.finish()
                ended += len(mine)

    def _over(self) -> int:
        over = 0
        while True:
            with reading(self._engine) as connection:
                found = terms.grace_due(connection, now=self._now(), limit=_BATCH)
            if not found:
                return over
            with decision(self._engine) as connection:
                ids = {term.account_id for term in found}
                work = _Work(connection, accounts.lock_ids(connection, ids), self._now())
                over += work.tell_over(terms.grace_due(connection, now=work.now, account_ids=ids))
                work.finish()


class _Work:
    """What one transaction does about the terms of some accounts, which it has locked."""

    def __init__(self, connection: Connection, owners: dict[int, Owner], now: int) -> None:
        self.connection = connection
        self.now = now
        self._owners = owners
        self._readers = accounts.readers(connection, owners.values())
        self._letters: list[tuple[int, Letter]] = []

    def finish(self) -> None:
        """Post what there is to tell."""
        told = ((person, letter) for number, letter in self._letters for person in self._readers[number])
        notices.post(self.connection, told, at=self.now)

    def towards_end(self, tier: Tier, found: Iterable[Term]) -> tuple[int, int]:
        """Renew what renews itself, and remind of the other ends; return how many of each."""
        due = [term for term in found if term.following is None and not term.revoked]
        rule = tier.renews_itself
        active = {} if rule is None else _used(self.connection, due, rule.active_within_days)
        renewing: list[Term] = []
        reminding: list[Term] = []
        for term in due:
            may = rule is not None and term.renewable and not term.suspended and not term.renewed
            may = may and tier.budget_units > 0
            used = active.get(term.id) if may else None
            opens = term.end_at - _window(tier)
            if used is not None:
                renewing.append(term)
            # By when it was used, not by when somebody looks: a late sweep says what one in time would have said.
            quiet = used is not None and used < opens
            if not term.reminded and not quiet and term.start_at < opens <= self.now:
                reminding.append(term)
        for term in reminding:
            self._tell(term, self._reminder(tier, term))
        terms.add_reminders(self.connection, reminding, at=self.now)
        if rule is not None:
            self._renew(tier, renewing, rule.active_within_days)
        return len(renewing), len(reminding)

    def tell_ended(self, tiers: Tiers, found: Iterable[Term]) -> None:
        """Tell of terms that are over, and of how long files are kept."""
        grace: list[tuple[int, int | None]] = []
        for term in found:
            tier, end = tiers.tiers.get(term.tier), moment(term.end_at)
            owner = self._owners[term.account_id]
            name = owner.name
            if not term.revoked and term.following is None:
                title = term.tier if tier is None else tier.title
                self._tell(term, letters.expired(term.id, name, title, end, term.lapsed))
            until = None
            if tier is not None and not term.covered and term.following is None:
                until = term.end_at + tier.grace_days * DAY
                self._tell(term, letters.grace_begun(term.id, name, owner.kind, end, moment(until)))
            grace.append((term.id, until))
        terms.set_told(self.connection, grace, at=self.now)

    def tell_over(self, found: list[Term]) -> int:
        """Tell of graces that are over, where no other allocation has come; return how many."""
        over = 0
        for term in found:
            if not term.covered and term.grace_until is not None:
                over += 1
                name = self._owners[term.account_id].name
                self._tell(term, letters.grace_over(term.id, name, moment(term.end_at), moment(term.grace_until)))
        terms.set_over(self.connection, [term.id for term in found], at=self.now)
        return over

    def _tell(self, term: Term, letter: Letter) -> None:
        self._letters.append((term.account_id, letter))

    def _reminder(self, tier: Tier, term: Term) -> Letter:
        if not term.renewable:
            advice = "It cannot be renewed. Ask for another one if you need it."
        elif tier.renews_itself is not None and not term.renewed:
            days = number_text(tier.renews_itself.active_within_days, "day")
            advice = f"It renews itself if it is used within the {days} before that."
        else:
            advice = (
                "Ask for its renewal before then, with what came of it: papers, DOIs. Whoever decides sees what "
                "was used."
            )
        name = self._owners[term.account_id].name
        return letters.expiring(term.id, name, tier.title, moment(term.end_at), advice=advice)

    def _renew(self, tier: Tier, found: list[Term], within_days: int) -> None:
        reason = f"It was used within the {number_text(within_days, 'day')} before the end of allocation"
        ends = [term.end_at + tier.term_days * DAY for term in found]
        reasons = [f"Renewed by itself. {reason} {term.id}." for term in found]
        numbers = allocations.add_many(
            self.connection,
            [
                {
                    "account_id": term.account_id,
                    "tier": term.tier,
                    # Where the last one ends: no gap and no overlap, however late this is.
                    "start_at": term.end_at,
                    "end_at": end,
                    "renewable": True,
                    "reason": why,
                    "granted_by": "hubquota",
                }
                for term, end, why in zip(found, ends, reasons, strict=True)
            ],
            now=self.now,
        )
        lines: list[journal.Line] = []
        for term, number, end, why in zip(found, numbers, ends, reasons, strict=True):
            owner = self._owners[term.account_id]
            lines.append(
                journal.Line(
                    owner=owner,
                    allocation_id=number,
                    allocation_after=tier.budget_units,
                    kind="grant",
                    amount=tier.budget_units,
                    actor="hubquota",
                    reason=why,
                    key=f"renewal:{term.id}",
                    end=end,
                )
            )
            start = moment(term.end_at)
            self._tell(term, letters.renewed(term.id, owner.name, tier.title, number, start, moment(end)))
            term.following = number
        journal.add_lines(self.connection, lines, at=self.now)
        pairs = [(term.id, number) for term, number in zip(found, numbers, strict=True)]
        terms.add_renewals(self.connection, pairs, at=self.now, actor="hubquota")


def _used(connection: Connection, found: list[Term], within_days: int) -> dict[int, int]:
    return terms.first_active(connection, [term.id for term in found], within_days)


def _window(tier: Tier) -> int:
    """Return how many seconds before an end there is something to do about it."""
    days = tier.expiring_days if tier.renews_itself is None else max(tier.expiring_days, _AHEAD)
    return days * DAY
