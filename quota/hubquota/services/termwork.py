"""What a transaction does about terms that are near their end or over, for accounts that it has locked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from hubquota.models import letters
from hubquota.models.letters import Letter
from hubquota.models.tiers import Tier, Tiers
from hubquota.models.words import number_text
from hubquota.storage import accounts, allocations, journal, notices, terms
from hubquota.storage.accounts import Owner
from hubquota.storage.terms import Term
from hubquota.storage.times import DAY, moment

#: An allocation that renews itself does so at least so many days before its end, so that there is no gap.
_AHEAD = 1


def renew_due(connection: Connection, owners: Mapping[int, Owner], now: int, tiers: Mapping[str, Tier]) -> int:
    """Do what a sweep does that comes by some accounts: renew what renews itself; return how many were renewed.

    Args:
        connection: a decision's.
        owners: the accounts, locked, by their numbers.
        now: the time.
        tiers: the tiers in question, by their names.
    """
    rules = {name: tier for name, tier in tiers.items() if tier.renews_itself is not None}
    renewed = 0
    while rules:
        work = TermWork(connection, owners, now)
        more = sum(work.towards_end(tier, work.near(name, tier))[0] for name, tier in rules.items())
        work.finish()
        renewed += more
        if not more:
            break
        # What was made up late may be over itself, and followed by another.
    return renewed


class TermWork:
    """What one transaction does about the terms of some accounts, which it has locked."""

    def __init__(self, connection: Connection, owners: Mapping[int, Owner], now: int) -> None:
        self.connection = connection
        self.now = now
        self._owners = owners
        self._readers = accounts.readers(connection, owners.values())
        self._letters: list[tuple[int, Letter]] = []

    def finish(self) -> None:
        """Post what there is to tell."""
        told = ((person, letter) for number, letter in self._letters for person in self._readers[number])
        notices.post(self.connection, told, at=self.now)

    def near(self, name: str, tier: Tier) -> list[Term]:
        """Return the allocations of a tier about whose end there is something to do."""
        return terms.near(
            self.connection,
            tier=name,
            now=self.now,
            window=window(tier),
            active_within_days=active_within(tier),
            account_ids=list(self._owners),
        )

    def towards_end(self, tier: Tier, found: Iterable[Term]) -> tuple[int, int]:
        """Renew what renews itself, and remind of the other ends; return how many of each."""
        due = [term for term in found if term.following is None and not term.revoked]
        rule = tier.renews_itself
        active: dict[int, int] = {}
        if rule is not None:
            active = terms.first_active(self.connection, [term.id for term in due], rule.active_within_days)
        renewing: list[Term] = []
        reminding: list[Term] = []
        for term in due:
            may = rule is not None and tier.budget_units > 0
            may = may and term.renewable and not (term.suspended or term.renewed or term.additional)
            used = active.get(term.id) if may else None
            opens = term.end_at - window(tier)
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
        if term.suspended:
            advice = "It is suspended, and is not renewed while it is. Ask whoever decides to resume it."
        elif not term.renewable:
            advice = "It cannot be renewed. Ask for another one if you need it."
        elif tier.renews_itself is not None and not (term.renewed or term.additional):
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


def active_within(tier: Tier) -> int | None:
    """Return how many days before its end an account is to be used for its allocation to renew itself."""
    return None if tier.renews_itself is None else tier.renews_itself.active_within_days


def window(tier: Tier) -> int:
    """Return how many seconds before an end there is something to do about it."""
    days = tier.expiring_days if tier.renews_itself is None else max(tier.expiring_days, _AHEAD)
    return days * DAY
