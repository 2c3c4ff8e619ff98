"""Starts of servers by what people are entitled to. Many are decided in one transaction, one after the other.

A start is an admission with what comes before it: the account is opened where there is none, memberships that
follow from groups are brought into step, and the entitlement says what can be started and what it costs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hubquota.models.admissions import Wanted
from hubquota.models.entitlement import Offer, offer_on
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Refused
from hubquota.models.tiers import Size, Tiers
from hubquota.services.admitting import Admissions, Batch, Found
from hubquota.services.base import PATIENCE
from hubquota.services.book import Book
from hubquota.services.entitled import Entitled
from hubquota.services.groups import GroupProjects
from hubquota.services.opening import FirstAllocation, first_allocation, of_project, open_users
from hubquota.services.tiersfile import TiersFile
from hubquota.storage import accounts, allocations
from hubquota.storage.accounts import Owner
from hubquota.storage.engine import decision


# Nothing changes one; see `Wanted`.
@dataclass(slots=True, kw_only=True)
class Start:
    """A server that somebody wants to start."""

    person: str
    #: The account that is to pay, as it was asked for: anything may be.
    payer: object
    #: The key of the server's lease.
    key: str
    #: What it says when the start is decided counts.
    tiers: TiersFile
    #: The person's hub groups.
    groups: Collection[str]
    #: What the identity provider says of the person.
    claims: Mapping[str, Any] | None
    #: The name of the size, as it was asked for: anything may be. None for the tier's default.
    size: object = None


class Started(NamedTuple):
    """A start that was admitted."""

    size: Size
    #: The number of its lease, its key, and its label.
    lease_id: int
    key: str
    label: str


class Starts(Admissions, GroupProjects):
    """Decides about starts."""

    def start_many(self, wanted: Sequence[Start]) -> list[Started | Refused]:
        """Decide about many starts in one transaction, in their order.

        One that is refused leaves the others as they are; if the database fails, none of them is made. Of many,
        that is also so where one account stays locked by somebody else: ask again about each by itself then.

        Returns:
            What was admitted, or the refusal, of each.
        """
        if not wanted:
            return []
        # One look at the file for all who use it.
        says = {file: file.current() for file in {one.tiers for one in wanted}}
        if any(tiers.projects.groups for tiers in says.values()):
            for one in wanted:
                self.sync_groups(says[one.tiers], one.person, one.groups)
        people = {one.person for one in wanted}
        #: What else is asked to pay. Mostly people do, for themselves.
        others = {one.payer for one in wanted if one.payer is not one.person and isinstance(one.payer, str)}
        # Who shares a transaction does not wait for an account that only one of them needs.
        with decision(self._engine, patience=PATIENCE if len(wanted) > 1 else None) as connection:
            found = self._owners(connection, wanted, people | others, says)
            owners = found.owners
            payers = people
            if others:
                payers = {
                    one.payer if isinstance(one.payer, str) and one.payer in owners else one.person
                    for one in wanted
                }
            keys = {one.key for one in wanted}
            batch = self._batch(connection, payers, keys, people, found if _all_is_locked(connection) else None)
            entitled = Entitled(connection, [book.owner for book in batch.named.values()], batch.now)
            choices = {file: _Choices(tiers, entitled) for file, tiers in says.items()}
            chosen: list[tuple[Size, Wanted] | None] = []
            for one in wanted:
                try:
                    book = _payer(connection, batch, owners, one, says)
                    choice = choices[one.tiers].of(book, one)
                except Refused as refused:
                    batch.refuse(refused)
                    chosen.append(None)
                else:
                    batch.decide(book, one.person, one.key, choice[1])
                    chosen.append(choice)
            answers: list[Started | Refused] = []
            for one, made, answer in zip(wanted, chosen, batch.finish(), strict=True):
                if isinstance(answer, Refused):
                    answers.append(answer)
                elif made is not None:
                    size, what = made
                    answers.append(Started(size, answer, one.key, what.label))
            return answers

    def _owners(
        self,
        connection: Connection,
        wanted: Sequence[Start],
        names: Collection[str],
        says: Mapping[TiersFile, Tiers],
    ) -> Found:
        """Read accounts by their names, after those of people who have none are opened."""
        now = self._now()
        found = _read(connection, names, now)
        new = {one.person: one for one in wanted if one.person not in found.owners}
        if new:
            firsts: dict[str, FirstAllocation] = {}
            for name, one in new.items():
                tiers = says[one.tiers]
                firsts[name] = first_allocation(tiers, tiers.tier_for(set(one.groups), one.claims))
            open_users(connection, firsts, now, actor="first start")
            opened = _read(connection, new, now)
            found.owners.update(opened.owners)
            found.pools.update(opened.pools)
        return found


def _all_is_locked(connection: Connection) -> bool:
    """Return whether nobody else can write, as in a decision on SQLite; elsewhere, only what was locked is."""
    return connection.dialect.name == "sqlite"


def _read(connection: Connection, names: Collection[str], now: int) -> Found:
    """Return the accounts of these names that there are. What could change before it is locked is left out."""
    if _all_is_locked(connection):
        return Found(*allocations.open_pools_by_name(connection, names, now), now)
    return Found({owner.name: owner for owner in accounts.find_all(connection, names)}, {}, now)


class _Choices:
    """What starts come to by a tiers file: worked out once for all in a batch that ask for the same."""

    def __init__(self, tiers: Tiers, entitled: Entitled) -> None:
        self._tiers = tiers
        self._entitled = entitled
        #: By the tiers from which alone it follows, and the size that is asked for.
        self._known: dict[tuple[tuple[str, ...], object], tuple[Size, Wanted]] = {}

    def of(self, book: Book, one: Start) -> tuple[Size, Wanted]:
        """Return what a start comes to on an account.

        Raises:
            Refused: it cannot be.
        """
        alike = self._entitled.tiers_alone(book), one.size
        # Anything may be asked for, and what has no hash is asked for by nobody else.
        found = self._known.get(alike) if one.size is None or isinstance(one.size, str) else None
        if found is None:
            offer = offer_on(self._tiers, alike[0]) if alike[0] else None
            if offer is None:
                return self._come_to(
                    self._entitled.of(self._tiers, book.owner, one.person).offer(self._tiers), one
                )
            found = self._known[alike] = self._come_to(offer, one)
        return found

    def _come_to(self, offer: Offer, one: Start) -> tuple[Size, Wanted]:
        size = offer.size(one.size, self._tiers.ask)
        return size, Wanted(
            kind=SERVER,
            label=offer.label(size),
            rate=size.rate,
            limit_each=offer.tier.servers,
            ask=self._tiers.ask,
            # The hub starts a server only when nothing of that name runs.
            settle_leftover=True,
        )


def _payer(
    connection: Connection, batch: Batch, owners: Mapping[str, Owner], one: Start, says: Mapping[TiersFile, Tiers]
) -> Book:
    """Return the account that pays for a start.

    Raises:
        Refused: there is none that the person may draw on.
    """
    if owners[one.person].kind != "user":
        raise of_project(one.person)
    if one.payer == one.person:
        return batch.named[one.person]
    book = batch.named.get(one.payer) if isinstance(one.payer, str) else None
    if book is None or book.owner.kind != "project" or book.role(one.person) is None:
        names = [owner.name for owner in accounts.drawable(connection, one.person)]
        raise Refused(
            limit="account",
            message=f"You cannot draw on an account '{str(one.payer)[:80]}'; you can on: "
            f"{', '.join(names)}. {says[one.tiers].ask}",
        )
    return book
