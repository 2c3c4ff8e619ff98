"""Moving an account to another tier."""

from __future__ import annotations

from datetime import datetime

from hubquota.models import limit_letters
from hubquota.models.ledger import Allocation, ImpossibleError
from hubquota.services.allocation_checks import conflict, end_of_term, known_allocation, same_act
from hubquota.services.base import Service, tell
from hubquota.storage import allocations
from hubquota.storage.engine import decision
from hubquota.storage.times import moment, seconds


class TierChange(Service):
    """A tier belongs to allocations, so another tier is another allocation."""

    def change_tier(
        self,
        account: str,
        tier: str,
        units: int,
        *,
        actor: str,
        reason: str,
        key: str,
        end: datetime | None = None,
        term_days: int | None = None,
        renewable: bool = False,
        keep: bool = False,
    ) -> Allocation:
        """Open an allocation of another tier from now on, and end the others, in one act.

        What the others have left lapses once what runs is charged. With `keep` they go on: the largest tier of
        those that pay decides then, so an account moves down only without it.

        Args:
            account: the account's name.
            tier: the tier's name.
            units: what the new allocation is granted, in units, above zero.
            actor: who moves it.
            reason: why.
            key: says which act this is; a second one of that key does nothing.
            end: when its term ends; None for no end.
            term_days: how many days its term lasts, where no end is given.
            renewable: whether another may follow it on request.
            keep: whether the account's other allocations go on.

        Raises:
            UnknownAccountError: there is no account of that name.
            ConflictingKeyError: the key stands for a move to another tier, amount or term already.
            ImpossibleError: the end is past, or the amount is not above zero.
        """
        if units <= 0:
            raise ImpossibleError("An allocation of the new tier is above zero credits.")
        with decision(self._engine) as connection:
            book = self._book(connection, account)
            found = same_act(connection, f"tier-change:{key}", account, units, reason)
            if found is not None:
                made = known_allocation(connection, found.allocation_id, book.now)
                until = end_of_term(seconds(made.start), end, term_days)
                if (made.tier, made.renewable, found.end) != (tier, renewable, moment(until)):
                    raise conflict(f"tier-change:{key}", found)
                return made
            until = end_of_term(book.now, end, term_days)
            if until is not None and until <= book.now:
                raise ImpossibleError("The end of that allocation is past already.")
            # What has run so far is charged to what could pay for it then.
            book.settle_all(actor=actor)
            at = moment(book.now)
            for one in allocations.of_account(connection, book.owner.id, book.now, lapsed=False):
                if keep or (one.end is not None and one.end <= at):
                    continue
                why = f"Moved to the tier {tier}: {reason}"
                book.revoke(one.id, actor=actor, reason=why, key=f"{key}:{one.id}")
            number = book.grant(
                tier=tier,
                units=units,
                start=book.now,
                end=until,
                renewable=renewable,
                actor=actor,
                reason=reason,
                key=f"tier-change:{key}",
            )
            letter = limit_letters.tier_changed(
                key, account, tier, number, units, end=moment(until), by=actor, reason=reason
            )
            tell(book, letter, besides=actor)
            return known_allocation(connection, number, book.now)
