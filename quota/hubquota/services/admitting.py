"""Admissions: what may start. Many are decided in one transaction, each after those before it.

Accounts are locked in the order of their numbers. What the decisions need is read for all of them together,
they are made one after the other without the database, and what they come to is written together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from hubquota.models.admissions import MINIMUM_SECONDS, Admission, Wanted
from hubquota.models.burn import Part
from hubquota.models.ledger import Lease, Refused
from hubquota.services.admission import against, short_of
from hubquota.services.base import unknown
from hubquota.services.book import START_LIMIT, Book
from hubquota.services.leaselocks import LockedLeases, abandon, is_abandoned
from hubquota.storage import accounts, allocations, burden, caps, holds, leases
from hubquota.storage.accounts import Owner
from hubquota.storage.allocations import OpenPool
from hubquota.storage.engine import decision
from hubquota.storage.times import moment

#: An open lease that has a key, with the number of its account; by the key.
Holders = dict[str, tuple[Lease, int]]


class Admissions(LockedLeases):
    """Admits leases."""

    def admit(
        self,
        account: str,
        *,
        kind: str,
        key: str,
        label: str,
        rate: int,
        person: str | None = None,
        minimum_seconds: int = MINIMUM_SECONDS,
        limit: int | None = None,
        limit_each: int | None = None,
        ask: str = "",
        settle_leftover: bool = False,
    ) -> Lease:
        """Decide whether something may start, and if so hold what its first minutes cost.

        What can be held is what the account's allocations have, less what is held already and what runs
        has accrued beyond that. So of any number of admissions at once, only as many pass as there is
        room for. It is held of the allocation that ends soonest first, and of none past its end.

        Args:
            account: as for `Admission`, and so are the others.
            kind: what runs.
            key: which one.
            label: what people read.
            rate: units a second while it runs.
            person: who runs it.
            minimum_seconds: how many seconds of running are held.
            limit: how many open leases of this kind the account may have.
            limit_each: how many of them one person may have.
            ask: how to ask for more.
            settle_leftover: whether an open lease that has the key is a leftover.

        Raises:
            UnknownAccountError: there is no account of that name.
            Refused: there is not enough to hold, there are as many as allowed, one with this key runs
                already, the person may not draw on the account, or a cap on what they may use of it is
                reached.
            ValueError: the rate or the minimum is below zero.
        """
        wanted = Admission(
            account=account,
            kind=kind,
            key=key,
            label=label,
            rate=rate,
            person=person,
            minimum_seconds=minimum_seconds,
            limit=limit,
            limit_each=limit_each,
            ask=ask,
            settle_leftover=settle_leftover,
        )
        (outcome,) = self.admit_many([wanted])
        if isinstance(outcome, Refused):
            raise outcome
        return outcome

    def admit_many(self, wanted: Sequence[Admission]) -> list[Lease | Refused]:
        """Decide about many admissions in one transaction, in their order.

        The answers are those that `admit` would give one after the other. One that is refused leaves the
        others as they are; if the database fails, none of them is made.

        Returns:
            The lease that was admitted, or the refusal, of each.

        Raises:
            UnknownAccountError: there is no account of one of the names. Nothing is decided then.
        """
        if not wanted:
            return []
        with decision(self._engine) as connection:
            batch = self._batch(connection, *_asked(wanted))
            for one in wanted:
                batch.decide(batch.named[one.account], one.who, one.key, one)
            return [
                answer if isinstance(answer, Refused) else batch.lease(answer, one)
                for one, answer in zip(wanted, batch.finish(), strict=True)
            ]

    def admit_up_to(self, wanted: Sequence[Admission]) -> tuple[list[Lease], Refused | None]:
        """Admit in order, in one transaction, until the first refusal: as many of them as there is room for.

        Returns:
            The leases of those before the first that is refused, and why that one is; None if none is.

        Raises:
            UnknownAccountError: as for `admit_many`.
        """
        if not wanted:
            return [], None
        with decision(self._engine) as connection:
            batch = self._batch(connection, *_asked(wanted))
            refused: Refused | None = None
            for one in wanted:
                if (refused := batch.decide(batch.named[one.account], one.who, one.key, one)) is not None:
                    break
            # The last answer is the refusal, if there is one.
            answers = zip(wanted, batch.finish(), strict=False)
            return [batch.lease(number, one) for one, number in answers if isinstance(number, int)], refused

    def _batch(
        self,
        connection: Connection,
        names: Collection[str],
        keys: Collection[str],
        people: Collection[str],
        found: Found | None = None,
    ) -> Batch:
        """Lock some accounts, and read what there is to know for admissions on them.

        Args:
            connection: a decision's.
            names: the accounts that are to pay.
            keys: the keys of what is to start.
            people: who runs it.
            found: what the transaction has read of these accounts already, on SQLite: there, a decision has
                everything locked from its begin.

        Raises:
            UnknownAccountError: there is no account of one of the names.
        """
        now = self._now() if found is None else found.at
        holders = leases.open_by_keys(connection, keys, now)
        elsewhere = {number for lease, number in holders.values() if lease.account not in names}
        if elsewhere:
            # What has a key may have to be ended, on its own account. All are locked in the order of their
            # numbers, so that no two transactions wait for each other.
            here = {owner.id for owner in accounts.find_all(connection, names)}
            owners = accounts.lock_ids(connection, here | elsewhere)
        elif found is not None:
            owners = {owner.id: owner for name in names if (owner := found.owners.get(name)) is not None}
        else:
            owners = accounts.lock_names(connection, names)
        if found is None:
            # Only now: whoever waited for the locks decides by the time at which it got them.
            now = self._now()
        books = self._open_books(connection, owners, people, {} if found is None else found.pools, now)
        if connection.dialect.name == "postgresql":
            # Whoever had the locks may have changed it; on SQLite nobody could.
            holders = leases.open_by_keys(connection, keys, now)
        batch = Batch(connection, books, holders, now, partial(self._book_of, connection))
        if lost := set(names).difference(batch.named):
            raise unknown(min(lost))
        return batch

    def _open_books(
        self,
        connection: Connection,
        owners: Mapping[int, Owner],
        people: Collection[str],
        known: Mapping[int, list[OpenPool]],
        now: int,
    ) -> dict[int, Book]:
        """Open the books of locked accounts, with what admissions for some people need of all of them."""
        unread = [number for number in owners if number not in known]
        pools = {**known, **allocations.open_pools_of(connection, unread, now)} if unread else known
        running = burden.running(connection, owners, now, now - START_LIMIT)
        books = {
            number: self._open_book(connection, owner, now, pools[number], running.get(number, burden.NOTHING))
            for number, owner in owners.items()
        }
        if projects := [book for book in books.values() if book.owner.kind == "project"]:
            _read_members(connection, projects, people)
        return books


def _asked(wanted: Collection[Admission]) -> tuple[set[str], set[str], set[str]]:
    """Return the accounts, the keys and the people of some admissions."""
    return {one.account for one in wanted}, {one.key for one in wanted}, {one.who for one in wanted}


class Found(NamedTuple):
    """What was read of some accounts that are locked."""

    #: Those that there are, by name.
    owners: dict[str, Owner]
    #: Their allocations whose books are open, by the account's number.
    pools: dict[int, list[OpenPool]]
    #: When.
    at: int


def _read_members(connection: Connection, projects: Sequence[Book], people: Collection[str]) -> None:
    """Read what some people are in projects, with the caps on them."""
    ids = [book.owner.id for book in projects]
    roles = accounts.roles(connection, ids, people)
    capped = caps.of_members(connection, ids, people)
    terms = [one for book in projects for one in book.in_term()]
    spent = caps.spent_by(connection, terms, people) if capped else {}
    for book in projects:
        number = book.owner.id
        book.know_members(
            {person: roles.get((number, person)) for person in people},
            {person: capped.get((number, person)) for person in people},
            {
                person: sum(spent.get((one, person), 0) for one in book.in_term())
                for person in people
                if (number, person) in capped
            },
        )


#: What was admitted and is not written yet: its place among the answers, the account, who runs it, what it is, and
#: who pays what is held for it.
_New = tuple[int, Book, str, Wanted, Sequence[Part]]


class Batch:
    """Admissions that are decided in one transaction, one after the other; then they are written together."""

    def __init__(
        self,
        connection: Connection,
        books: dict[int, Book],
        holders: Holders,
        now: int,
        book_of: Callable[[int], Book],
    ) -> None:
        """Decide about some accounts.

        Args:
            connection: a decision's.
            books: the accounts, locked, by their numbers: those that pay, and those of the holders.
            holders: what has one of the keys already.
            now: the time.
            book_of: locks another account by its number, and opens its book.
        """
        #: The accounts by their names.
        self.named = {book.owner.name: book for book in books.values()}
        self.now = now
        self._connection = connection
        self._books = books
        self._book_of = book_of
        self._holders = holders
        #: By their keys.
        self._new: dict[str, _New] = {}
        self._answers: list[int | Refused | None] = []

    def decide(self, book: Book, who: str, key: str, wanted: Wanted) -> Refused | None:
        """Decide about the next one. Return the refusal, or None if it is admitted.

        Args:
            book: the account that pays, one of `named`.
            who: who runs it.
            key: which one it is.
            wanted: what is to start.
        """
        if key in self._new:
            # It asks for what was admitted just now.
            self._write_early()
        holder = self._holders.get(key)
        if holder is not None and (is_abandoned(holder[0], self.now) or wanted.settle_leftover):
            holder = self._settle_leftover(*holder, who)
        refused = against(book, who, None if holder is None else holder[0], wanted)
        parts: Sequence[Part] = ()
        if refused is None and wanted.rate:
            if (paid := book.afford(wanted.rate, wanted.minimum_seconds)) is not None:
                parts = paid
            else:
                refused = "budget", short_of(book, wanted.label, wanted.rate, wanted.minimum_seconds)
        if refused is not None:
            limit, message = refused
            return self.refuse(Refused(limit=limit, message=f"{message} {wanted.ask}".strip()))
        book.admitted(who, wanted.kind, parts)
        self._new[key] = len(self._answers), book, who, wanted, parts
        self._answers.append(None)
        return None

    def refuse(self, refused: Refused) -> Refused:
        """Take a refusal from elsewhere for the next one."""
        self._answers.append(refused)
        return refused

    def finish(self) -> list[int | Refused]:
        """Write what was admitted; return the answers in the order of the decisions: a lease's number, or no."""
        self._write()
        return [answer for answer in self._answers if answer is not None]

    def lease(self, number: int, wanted: Admission) -> Lease:
        """Return the lease that was made of an admission."""
        return Lease(
            id=number,
            account=wanted.account,
            person=wanted.who,
            kind=wanted.kind,
            key=wanted.key,
            label=wanted.label,
            rate=wanted.rate,
            held=wanted.rate * wanted.minimum_seconds,
            admitted_at=moment(self.now),
            started_at=None,
            seen_at=None,
            settled_at=None,
            ended_at=None,
            charged=0,
            reason=None,
        )

    def _write_early(self) -> None:
        """Write what was admitted, and know it as what has its keys, as the next decisions may ask for these."""
        if keys := list(self._new):
            self._write()
            self._holders |= leases.open_by_keys(self._connection, keys, self.now)

    def _write(self) -> None:
        new, self._new = self._new, {}
        if not new:
            return
        now, expiry = self.now, self.now + START_LIMIT
        numbers = leases.add_many(
            self._connection,
            [
                (book.owner.id, who, wanted.kind, key, wanted.label, wanted.rate, now, 0)
                for key, (_, book, who, wanted, _) in new.items()
            ],
        )
        rows: list[tuple[int, int, int, int, int]] = []
        for number, (place, _, _, wanted, parts) in zip(numbers, new.values(), strict=True):
            for pool, amount in parts:
                rows.append((number, pool, amount, now + wanted.minimum_seconds, expiry))
            self._answers[place] = number
        holds.add_many(self._connection, rows)

    def _settle_leftover(self, leftover: Lease, number: int, who: str) -> tuple[Lease, int] | None:
        """End what a crash left open. Return it if it is not this person's to end."""
        if leftover.person != who:
            return leftover, number
        # What was admitted before is in the database when what it left is read again.
        self._write_early()
        locked = leases.find(self._connection, leftover.id, self.now, lock=True)
        if locked is not None and locked.is_open:
            book = self._books.get(number) or self._book_of(number)
            if is_abandoned(locked, self.now):
                abandon(book, locked)
            else:
                alive = locked.last_alive or locked.admitted_at
                book.end(
                    locked,
                    at=book.between(alive, alive),
                    reason="Nothing ran any more when the next start was asked for; closed when last seen.",
                    kind="lost",
                    actor="hubquota",
                )
        self._holders.pop(leftover.key, None)
        return None
