"""Caps on what one member may use of a project."""

from __future__ import annotations

from datetime import datetime

from hubquota.models import limit_letters
from hubquota.models.admissions import MINIMUM_SECONDS
from hubquota.models.caps import Cap, Ending, MemberUse
from hubquota.models.kinds import WORKER
from hubquota.models.ledger import ImpossibleError, Refused
from hubquota.services.accounts import Accounts
from hubquota.services.balance import terms_on
from hubquota.services.base import known, tell
from hubquota.services.book import Book
from hubquota.storage import accounts, allocations, caps
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import moment


class Caps(Accounts):
    """Sets caps, and says what members have used."""

    def set_cap(
        self,
        project: str,
        member: str,
        *,
        credits: int | None = None,  # noqa: A002  (the field's word)
        workers: int | None = None,
        actor: str,
        reason: str,
        by_member: str | None = None,
    ) -> Cap | None:
        """Cap what a member may use of a project; with neither number, lift their cap.

        It takes the place of the cap that they had. What runs goes on as long as its credits are held; the
        same cap set again changes nothing.

        Args:
            project: the project's name.
            member: whom it is for. They need not be a member yet.
            credits: units that they may spend of the allocations whose term is on, together; a new term
                begins anew. None for no cap.
            workers: how many Dask workers they may run at once; None for no cap.
            actor: who sets it.
            reason: why.
            by_member: a person who may do this only as a PI of the project; None for an administrator.

        Returns:
            The cap that counts now.

        Raises:
            UnknownAccountError: there is no account of that name.
            ImpossibleError: it is not a project.
            Refused: `by_member` is not a PI of it.
            ValueError: a number is below zero.
        """
        if (credits is not None and credits < 0) or (workers is not None and workers < 0):
            raise ValueError("A cap cannot be below zero.")
        with decision(self._engine) as connection:
            book = self._book(connection, project)
            if book.owner.kind != "project":
                raise ImpossibleError(f"{project} is a user's account and has no members to cap.")
            if by_member is not None and accounts.role_of(connection, book.owner.id, by_member) != "pi":
                raise Refused(
                    limit="account",
                    message=f"{by_member} is not a PI of {project}. A PI or an administrator can set a cap.",
                )
            before = caps.find(connection, book.owner.id, member)
            if (before and before.credits, before and before.workers) != (credits, workers):
                caps.add(
                    connection,
                    book.owner.id,
                    member=member,
                    credits_=credits,
                    workers=workers,
                    actor=actor,
                    reason=reason,
                    now=book.now,
                )
                cap = caps.find(connection, book.owner.id, member)
                letter = (
                    limit_letters.cap_lifted(project, member, at=moment(book.now), by=actor, reason=reason)
                    if cap is None
                    else limit_letters.cap_set(cap)
                )
                tell(book, letter, member, besides=actor)
            return caps.find(connection, book.owner.id, member)

    def caps(self, project: str) -> list[Cap]:
        """Return every cap that a project's members ever had, oldest first; one without numbers lifts one.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            return caps.history(connection, known(connection, project).id)

    def member_use(self, project: str) -> list[MemberUse]:
        """Return what members, and people who were, have used of a project in the terms that are on.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            owner, now = known(connection, project), self._now()
            ids = terms_on(allocations.open_pools(connection, owner.id, now), now)
            spent = caps.spenders(connection, ids)
            names = {one.name for one in accounts.members(connection, owner.id, former=False)}
            return [
                MemberUse(
                    name,
                    spent.get(name, 0),
                    caps.running(connection, owner.id, name, now)[0],
                    caps.find(connection, owner.id, name),
                )
                for name in sorted(names | set(spent))
            ]

    def cap_ends_at(self, project: str, person: str, now: datetime | None = None) -> datetime | None:
        """Return when a member's cap is used up if what they run goes on as it does; None for never.

        It is computed from the cap, what was spent in the terms that are on, and the rates, so it stays right
        until one of them changes. Of a user's own account it is None.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        at = self._now() if now is None else int(now.timestamp())
        with reading(self._engine) as connection:
            owner = known(connection, project)
            cap = caps.find(connection, owner.id, person) if owner.kind == "project" else None
            if cap is None or cap.credits is None:
                return None
            ids = terms_on(allocations.open_pools(connection, owner.id, at), at)
            _, accrued, rate = caps.running(connection, owner.id, person, at)
            left = cap.credits - caps.spent(connection, person, ids) - accrued
        return moment(at + max(0, left) // rate) if rate else None

    def ends_at(self, account: str, person: str) -> Ending | None:
        """Return when nothing pays any more for what somebody runs on an account, and why; None for never.

        As for `exhausts_at` and `cap_ends_at`, whichever comes first.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        exhausted, capped = self.exhausts_at(account), self.cap_ends_at(account, person)
        if exhausted is not None and (capped is None or exhausted <= capped):
            return Ending(exhausted, "The credits that paid for it are used up.")
        if capped is not None:
            return Ending(capped, f"{person}'s cap on the project {account} is used up.")
        return None

    def room(self, account: str, *, person: str, kind: str, rate: int, limit: int) -> int:
        """Return how many more leases of a kind would be admitted for somebody now, one after another.

        An admission decides by itself; this is for those who would rather not ask in vain.

        Args:
            account: the account's name.
            person: who would run them.
            kind: what would run.
            rate: what each costs, in units a second.
            limit: how many open leases of the kind the account may have.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        needed = rate * MINIMUM_SECONDS
        with self._reading_of(account) as connection:
            # Nothing is locked here, so this book renews nothing.
            book = Book(connection, known(connection, account), self._now())
            if book.owner.kind == "project" and book.role(person) is None:
                return 0
            rooms = [limit - book.number(kind)]
            if needed:
                rooms.append(book.balance().available // needed)
            cap = book.cap(person)
            if cap is not None and cap.workers is not None and kind == WORKER:
                rooms.append(cap.workers - book.number(kind, person))
            if cap is not None and needed and (left := book.use(person, cap).left) is not None:
                rooms.append(left // needed)
        return max(0, min(rooms))
