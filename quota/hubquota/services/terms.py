"""What dates bring about at the end of a term: reminders, renewals, the news of the end, and grace.

All of it follows from dates alone: when an allocation ends, and when its account was used. So a late or a
doubled sweep writes the same notices and makes the same allocations as one in time, each once.
"""

from __future__ import annotations

from hubquota.models.ledger import TermsSwept
from hubquota.models.tiers import Tier, Tiers
from hubquota.services.base import ByTiers
from hubquota.services.termwork import TermWork, active_within, window
from hubquota.storage import accounts, terms
from hubquota.storage.engine import decision, reading

#: How many allocations are dealt with in one transaction: others wait no longer than that takes.
_BATCH = 200


class Terms(ByTiers):
    """Looks after the ends of terms, by the tiers file's dates."""

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
        while True:
            with reading(self._engine) as connection:
                found = terms.near(
                    connection,
                    tier=name,
                    now=self._now(),
                    window=window(tier),
                    active_within_days=active_within(tier),
                    after=after,
                    limit=_BATCH,
                )
            if not found:
                return renewed, reminded
            after = found[-1].end_at, found[-1].id
            with decision(self._engine) as connection:
                ids = {term.account_id for term in found}
                work = TermWork(connection, accounts.lock_ids(connection, ids), self._now())
                # Read again: another sweep may have been faster while this one waited for the accounts.
                more = work.towards_end(tier, work.near(name, tier))
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
                work = TermWork(connection, accounts.lock_ids(connection, ids), self._now())
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
                work = TermWork(connection, accounts.lock_ids(connection, ids), self._now())
                over += work.tell_over(terms.grace_due(connection, now=work.now, account_ids=ids))
                work.finish()
