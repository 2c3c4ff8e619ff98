"""Scratch space with an end: made, extended, released, ended, and told of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from hubquota.models.kinds import SCRATCH
from hubquota.models.ledger import ImpossibleError, Refused
from hubquota.models.money import format_credits
from hubquota.models.scratch import (
    Quote,
    Scratch,
    UnknownScratchError,
    check_name,
    ended_letter,
    ending_letter,
    scratch_label,
)
from hubquota.models.tiers import Tiers
from hubquota.services.base import known, tell
from hubquota.services.ledger import Ledger
from hubquota.storage import scratch
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import DAY, moment, seconds

#: People are told so long before the end.
WARNINGS = {"3 days": timedelta(days=3), "1 day": timedelta(days=1)}

#: How long a scratch space may last from now on, in days: what is to stay longer is extended.
LONGEST_DAYS = 365

RELEASED = "It was released."
OVER = "Its time is over."
UNPAID = "Nothing pays for it any more."


class ScratchSpaces(Ledger):
    """Scratch spaces of accounts. What is in them is somebody else's business: see `measured` and `cleared`."""

    def quote(self, tiers: Tiers, gib: int, days: int) -> Quote:
        """Return what a scratch space made now would cost.

        Raises:
            ValueError: the size or the days are not above zero, or there are too many.
        """
        if gib <= 0 or gib > 1_000_000:
            raise ValueError("A scratch space has 1 GiB or more, and a million at most.")
        if days <= 0 or days > LONGEST_DAYS:
            raise ValueError(f"A scratch space lasts for a day or longer, and {LONGEST_DAYS} days at most.")
        now = self._now()
        rate = tiers.storage_rate(gib, moment(now).date())
        return Quote(gib, days, rate, rate * days * DAY, moment(now + days * DAY))

    def make(self, tiers: Tiers, account: str, *, person: str, name: str, gib: int, days: int) -> Scratch:
        """Make a scratch space; it is charged from now on.

        Args:
            tiers: what the tiers file says.
            account: the account that pays.
            person: who makes it.
            name: its name; one of the account's own.
            gib: its size in GiB.
            days: after so many days it ends.

        Raises:
            Refused: the tier's limit, the balance, a cap, or the account's end.
            ImpossibleError: there is one of this name.
            UnknownAccountError: there is no account of that name.
            ValueError: the name, the size or the days cannot be.
        """
        check_name(name)
        quote = self.quote(tiers, gib, days)
        self._check(tiers, account, person, gib, quote.price)
        with reading(self._engine) as connection:
            there = scratch.named(connection, known(connection, account).id, name)
        # Who may not use the account is told that, and not what is on it.
        if there is not None and account in {row.account.name for row in self.drawable(person)}:
            raise ImpossibleError(_taken(there))
        lease = self._pay(tiers, account, person, name, gib, quote.rate)
        try:
            with decision(self._engine) as connection:
                book = self._book(connection, account)
                # Once more with the account locked: others may have made some meanwhile.
                self._check_size(tiers, account, person, gib, scratch.open_gib(connection, book.owner.id))
                number = scratch.add(
                    connection,
                    book.owner.id,
                    person=person,
                    name=name,
                    gib=gib,
                    now=book.now,
                    ends_at=book.now + days * DAY,
                    lease_id=lease,
                )
        except BaseException as error:
            self.cancel(lease, "The scratch space was not made.", kind="failed")
            if isinstance(error, IntegrityError):
                raise ImpossibleError(f"There is a scratch space {name} on {account} already.") from None
            raise
        self.begin(lease)
        return self.scratch(number)

    def prolong(
        self, tiers: Tiers, number: int, *, days: int, person: str, end_seen: datetime | None = None
    ) -> Scratch:
        """Put off the end of a scratch space; one that has ended and is still there is open again.

        Args:
            tiers: what the tiers file says.
            number: its number.
            days: so many days after its end, or if it has ended, after now.
            person: who does it.
            end_seen: the end that they know of. Where it is another by now, nothing is changed: so what is sent
                twice is done once.

        Raises:
            Refused: as for `make`.
            ImpossibleError: what was in it has been taken away, or its end is not the one that they know of.
            UnknownScratchError: there is none of that number.
            ValueError: the days cannot be.
        """
        one = self.scratch(number)
        if one.state not in ("open", "ended"):
            raise ImpossibleError(f"What was in {one.name} has been taken away. Make another one.")
        if end_seen is not None and seconds(end_seen) != seconds(one.ends_at):
            raise ImpossibleError(f"The end of {one.name} is {one.ends_at:%Y-%m-%d %H:%M} UTC by now. Look again.")
        now = self._now()
        base = seconds(one.ends_at) if one.ended_at is None else now
        until = base + days * DAY
        if days <= 0 or until > now + LONGEST_DAYS * DAY:
            raise ValueError(f"It can be extended by a day or more, up to {LONGEST_DAYS} days from now.")
        rate = one.rate if one.ended_at is None else tiers.storage_rate(one.gib, moment(now).date())
        self._check(tiers, one.account, person, 0 if one.ended_at is None else one.gib, rate * days * DAY)
        if one.ended_at is None:
            with decision(self._engine) as connection:
                self._unchanged(connection, one)
                scratch.change(connection, number, ends_at=until)
            return self.scratch(number)
        lease = self._pay(tiers, one.account, person, one.name, one.gib, rate)
        try:
            with decision(self._engine) as connection:
                self._unchanged(connection, one)
                scratch.change(connection, number, ends_at=until, ended_at=None, reason=None, lease_id=lease)
        except BaseException:
            self.cancel(lease, "The scratch space was not extended.", kind="failed")
            raise
        self.begin(lease)
        return self.scratch(number)

    def release(self, number: int, *, person: str) -> Scratch:
        """End a scratch space now; it is charged up to now. One that has ended stays as it is.

        Raises:
            UnknownScratchError: there is none of that number.
        """
        return self._end(self.scratch(number), at=self._now(), reason=RELEASED, actor=person)

    def keep(self, grace_days: Callable[[str], int]) -> int:
        """Note which scratch spaces there are, tell of ends that are near, and end those that are due.

        Safe to be interrupted, repeated, and done by several at once.

        Args:
            grace_days: for how many days what was in it is kept after its end, by the account's name.

        Returns:
            How many have ended.
        """
        with reading(self._engine) as connection:
            found = [one for one in scratch.there(connection) if one.ended_at is None]
        self.seen(f"scratch:{one.account}/{one.name}" for one in found)
        now, ended = moment(self._now()), 0
        for one in found:
            if one.ends_at <= now:
                self._end(
                    one, at=seconds(one.ends_at), reason=OVER, actor="hubquota", grace=grace_days(one.account)
                )
                ended += 1
                continue
            if one.rate:
                self.extend(one.lease)
                out = self.exhausts_at(one.account)
                if out is not None and out <= now:
                    self._end(one, at=seconds(now), reason=UNPAID, actor="hubquota", grace=grace_days(one.account))
                    ended += 1
                    continue
            self._warn(one, now, grace_days(one.account))
        return ended

    def scratch(self, number: int) -> Scratch:
        """Return the scratch space of that number.

        Raises:
            UnknownScratchError: there is none.
        """
        with reading(self._engine) as connection:
            found = scratch.find(connection, number)
        if found is None:
            raise UnknownScratchError(f"There is no scratch space {number}.")
        return found

    def of_person(self, person: str) -> list[Scratch]:
        """Return the scratch spaces of the accounts that somebody may draw on, those that are gone left out."""
        names = [summary.account.name for summary in self.drawable(person)]
        return self.of_accounts(names)

    def of_accounts(self, names: list[str]) -> list[Scratch]:
        """Return the scratch spaces of some accounts, those that are gone left out."""
        with reading(self._engine) as connection:
            return scratch.of_accounts(connection, names)

    def all_there(self) -> list[Scratch]:
        """Return all whose content is still there."""
        with reading(self._engine) as connection:
            return scratch.there(connection)

    # What is in them ---------------------------------------------------------------------------------

    def measured(self, number: int, used: int) -> None:
        """Note how many bytes are in one."""
        with decision(self._engine) as connection:
            scratch.change(connection, number, used=used, measured_at=self._now())

    def put_aside(self, number: int) -> bool:
        """Note that the content of an ended one is about to be moved aside; return whether it may be.

        From then on it cannot be opened again.
        """
        with decision(self._engine) as connection:
            one = scratch.find(connection, number)
            if one is None or one.ended_at is None or one.cleared_at is not None:
                return False
            # Whoever extends it takes the account's lock; this takes it, too, so that only one of the two happens.
            self._book(connection, one.account)
            one = scratch.find(connection, number)
            if one is None or one.ended_at is None:
                return False
            if one.aside_at is None:
                scratch.change(connection, number, aside_at=self._now())
            return True

    def cleared(self, number: int) -> None:
        """Note that the content of one is gone; its name is free again."""
        with decision(self._engine) as connection:
            scratch.change(connection, number, cleared_at=self._now())

    # Parts -------------------------------------------------------------------------------------------

    def _unchanged(self, connection: Connection, one: Scratch) -> None:
        """Lock the account, and make sure that nobody has extended, ended or cleared it meanwhile."""
        self._book(connection, one.account)
        found = scratch.find(connection, one.id)
        if found is None or (found.ends_at, found.state) != (one.ends_at, one.state):
            raise ImpossibleError(f"{one.name} has changed meanwhile. Look again.")

    def _check(self, tiers: Tiers, account: str, person: str, gib: int, price: int) -> None:
        with reading(self._engine) as connection:
            taken = scratch.open_gib(connection, known(connection, account).id)
        self._check_size(tiers, account, person, gib, taken)
        available = self.balance(account).available
        if price > available:
            raise Refused(
                limit="budget",
                message=f"Not enough credits: this costs {format_credits(price, rounding='up')} credits until its "
                f"end, and {account} has {format_credits(available)} available. {tiers.ask}",
            )

    def _check_size(self, tiers: Tiers, account: str, person: str, gib: int, taken: int) -> None:
        entitlement = self.entitlement(tiers, account, person)
        entitlement.check()
        limit = entitlement.tier.storage.scratch_gib
        if gib and taken + gib > limit:
            raise Refused(
                limit="size",
                message=f"{account} has {taken} GiB of scratch open, and its tier allows {limit} GiB in all: "
                f"{gib} GiB more do not fit. Release some, or choose a smaller size. {tiers.ask}",
            )

    def _pay(self, tiers: Tiers, account: str, person: str, name: str, gib: int, rate: int) -> int:
        return self.admit(
            account,
            person=person,
            kind=SCRATCH,
            key=f"scratch:{account}/{name}",
            label=scratch_label(name, gib),
            rate=rate,
            ask=tiers.ask,
        ).id

    def _end(self, one: Scratch, *, at: int, reason: str, actor: str, grace: int | None = None) -> Scratch:
        if one.ended_at is None:
            # The lease first: whatever happens next, nothing is charged past this.
            self.close(one.lease, reason=reason, at=moment(at), actor=actor)
            with decision(self._engine) as connection:
                book = self._book(connection, one.account)
                found = scratch.find(connection, one.id)
                if found is not None and found.ended_at is None and found.lease == one.lease:
                    scratch.change(connection, one.id, ended_at=max(at, seconds(one.made_at)), reason=reason)
                    if grace is not None:
                        tell(book, ended_letter(one, reason, grace), one.person)
        return self.scratch(one.id)

    def _warn(self, one: Scratch, now: datetime, grace_days: int) -> None:
        half = one.made_at + (one.ends_at - one.made_at) / 2
        due = {"half": half, **{name: one.ends_at - before for name, before in WARNINGS.items()}}
        told = [name for name, at in due.items() if at <= now and (name == "half" or at > one.made_at)]
        if not told:
            return
        # Of several that are due at once, such as after a pause, the last one says it all.
        with decision(self._engine) as connection:
            tell(self._book(connection, one.account), ending_letter(one, told[-1], grace_days), one.person)


def _taken(one: Scratch) -> str:
    if one.ended_at is None:
        return f"There is a scratch space {one.name} on {one.account} already. Choose another name, or extend it."
    return (
        f"What was in the scratch space {one.name} of {one.account} is still kept. Extend it, which opens it "
        "again, or choose another name."
    )
