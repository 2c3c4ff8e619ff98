"""Starts of servers by what people are entitled to. Many are decided in one transaction, one after the other.

A start is an admission with what comes before it: the account is opened where there is none, memberships that
follow from groups are brought into step, and the entitlement says what can be started and what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection

from hubquota.models.admissions import Admission
from hubquota.models.entitlement import Offer
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Refused
from hubquota.models.tiers import Size, Tiers
from hubquota.services.admitting import Admissions, Batch
from hubquota.services.base import PATIENCE
from hubquota.services.entitled import Entitled
from hubquota.services.groups import GroupProjects
from hubquota.services.opening import FirstAllocation, first_allocation, of_project, open_users
from hubquota.services.tiersfile import TiersFile
from hubquota.storage import accounts
from hubquota.storage.accounts import Owner
from hubquota.storage.engine import decision


# Nothing changes one; see `Admission`.
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
    #: Returns the size that is to start and the label of its lease, or raises why it cannot be.
    choose: Callable[[Tiers, Offer], tuple[Size, str]]


class Started(NamedTuple):
    """A start that was admitted."""

    size: Size
    #: The number of its lease.
    lease_id: int
    #: What was asked of the ledger: the account that pays, the lease's key and label.
    admission: Admission


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
        for one in wanted:
            self.sync_groups(says[one.tiers], one.person, one.groups)
        # Who shares a transaction does not wait for an account that only one of them needs.
        with decision(self._engine, patience=PATIENCE if len(wanted) > 1 else None) as connection:
            owners = self._owners(connection, wanted, says)
            payers = {
                one.payer if isinstance(one.payer, str) and one.payer in owners else one.person for one in wanted
            }
            batch = self._batch(
                connection, payers, {one.key for one in wanted}, {one.person for one in wanted}, owners
            )
            entitled = Entitled(connection, [book.owner for book in batch.named.values()], batch.now)
            sizes: list[Size | None] = []
            for one in wanted:
                try:
                    size, admission = _admission(connection, batch, entitled, owners, one, says[one.tiers])
                except Refused as refused:
                    batch.refuse(refused)
                    sizes.append(None)
                else:
                    batch.decide(admission)
                    sizes.append(size)
            answers: list[Started | Refused] = []
            for chosen, answer in zip(sizes, batch.finish(), strict=True):
                if isinstance(answer, Refused):
                    answers.append(answer)
                elif chosen is not None:
                    answers.append(Started(chosen, *answer))
            return answers

    def _owners(
        self, connection: Connection, wanted: Sequence[Start], says: Mapping[TiersFile, Tiers]
    ) -> dict[str, Owner]:
        """Return the accounts that are named, after those of people who have none are opened."""
        names = {one.person for one in wanted} | {one.payer for one in wanted if isinstance(one.payer, str)}
        owners = {owner.name: owner for owner in accounts.find_all(connection, names)}
        new = {one.person: one for one in wanted if one.person not in owners}
        if new:
            firsts: dict[str, FirstAllocation] = {}
            for name, one in new.items():
                tiers = says[one.tiers]
                firsts[name] = first_allocation(tiers, tiers.tier_for(set(one.groups), one.claims))
            open_users(connection, firsts, self._now(), actor="first start")
            owners |= {owner.name: owner for owner in accounts.find_all(connection, new)}
        return owners


def _admission(
    connection: Connection,
    batch: Batch,
    entitled: Entitled,
    owners: Mapping[str, Owner],
    one: Start,
    tiers: Tiers,
) -> tuple[Size, Admission]:
    """Return what a start comes to.

    Raises:
        Refused: it cannot be.
    """
    if owners[one.person].kind != "user":
        raise of_project(one.person)
    book = batch.named.get(one.payer) if isinstance(one.payer, str) else None
    if book is None or not (
        one.payer == one.person or (book.owner.kind == "project" and book.role(one.person) is not None)
    ):
        names = [owner.name for owner in accounts.drawable(connection, one.person)]
        raise Refused(
            limit="account",
            message=f"You cannot draw on an account '{str(one.payer)[:80]}'; you can on: "
            f"{', '.join(names)}. {tiers.ask}",
        )
    offer = entitled.offer(tiers, book, one.person)
    size, label = one.choose(tiers, offer)
    admission = Admission(
        account=book.owner.name,
        person=one.person,
        kind=SERVER,
        key=one.key,
        label=label,
        rate=size.rate,
        limit_each=offer.tier.servers,
        ask=tiers.ask,
        # The hub starts a server only when nothing of that name runs.
        settle_leftover=True,
    )
    return size, admission
