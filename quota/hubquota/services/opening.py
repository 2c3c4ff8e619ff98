"""Opening accounts, and who is in a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from hubquota.models.ledger import Account, ConflictingAccountError, ImpossibleError, Refused, Role
from hubquota.models.tiers import Tiers
from hubquota.services.base import Service
from hubquota.services.membership import change_role
from hubquota.storage import accounts, allocations, journal
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAllocation:
    """What a user's account is opened with.

    Raises:
        ValueError: the budget is below zero, or the term is not above zero.
    """

    tier: str
    #: Units; with zero there is no allocation.
    units: int
    #: How many days it lasts; None for no end.
    term_days: int | None = None
    #: Whether another may follow it on request.
    renewable: bool = True

    def __post_init__(self) -> None:
        if self.units < 0:
            raise ValueError("A budget cannot be below zero.")
        if self.term_days is not None and self.term_days <= 0:
            raise ValueError("A term lasts for a day or longer.")


def first_allocation(tiers: Tiers, tier: str) -> FirstAllocation:
    """Return what the tiers file says that an account of a tier is opened with.

    Raises:
        KeyError: there is no such tier.
    """
    found = tiers.tiers[tier]
    return FirstAllocation(
        tier=tier, units=found.budget_units, term_days=found.term_days, renewable=found.renewable
    )


#: The longest name of a user that JupyterHub keeps.
LONGEST_NAME = 255


def open_users(connection: Connection, new: Mapping[str, FirstAllocation], now: int, *, actor: str) -> None:
    """Open users' accounts with their first allocations, of those of whose names there is none.

    Args:
        connection: a decision's.
        new: what each is opened with, by their names.
        now: the time.
        actor: who opens them.
    """
    owners = accounts.add_users(connection, {name: first.tier for name, first in new.items()}, now)
    granted = [(owner, first) for owner in owners if (first := new[owner.name]).units]
    rows: list[dict[str, Any]] = []
    for owner, first in granted:
        rows.append(
            {
                "account_id": owner.id,
                "tier": first.tier,
                "start_at": now,
                "end_at": None if first.term_days is None else now + first.term_days * DAY,
                "renewable": first.renewable,
                "reason": f"Budget of the tier {first.tier}, granted when the account was opened.",
                "granted_by": actor,
            }
        )
    numbers = allocations.add_many(connection, rows, now=now)
    lines = [
        journal.Line(
            owner=owner,
            allocation_id=number,
            allocation_after=first.units,
            kind="grant",
            amount=first.units,
            actor=actor,
            reason=row["reason"],
            key=f"opening:{owner.id}",
            end=row["end_at"],
        )
        for (owner, first), number, row in zip(granted, numbers, rows, strict=True)
    ]
    journal.add_lines(connection, lines, at=now)


def of_project(name: str) -> Refused:
    """Return the refusal of an account for a user whose name is a project's."""
    return Refused(
        limit="account",
        message=f"There is a project of the name {name}, so no user of that name can have an account.",
    )


def check_name(name: str) -> None:
    """Check that a name can be a user's on a hub, or a project's.

    Raises:
        ImpossibleError: it is empty or longer than 255 characters, or has a slash or what cannot be printed.
    """
    if not 0 < len(name) <= LONGEST_NAME or "/" in name or not name.isprintable() or name != name.strip():
        raise ImpossibleError(
            f"{name[:60]!r} cannot be a name: a name has 1 to {LONGEST_NAME} characters that can be printed, no "
            "slash, and no blank at its ends."
        )


class Opening(Service):
    """Opens accounts, and keeps the members of projects."""

    def open_account(
        self,
        name: str,
        tier_name: str,
        budget_units: int,
        *,
        actor: str,
        term_days: int | None = None,
        renewable: bool = True,
    ) -> Account:
        """Return the account of that user; if there is none, open one with a first allocation.

        An account that exists is returned as it is: nothing about it changes.

        Args:
            name: the user's name on the hub.
            tier_name: the tier of the first allocation.
            budget_units: what a new account is granted, in units; with zero there is no allocation.
            actor: who opens it.
            term_days: how many days the first allocation lasts; None for no end.
            renewable: whether another may follow it on request.

        Raises:
            ValueError: the budget is below zero, or the term is not above zero.
            Refused: the name is a project's.
            ImpossibleError: it can be nobody's name.
        """
        check_name(name)
        first = FirstAllocation(tier=tier_name, units=budget_units, term_days=term_days, renewable=renewable)
        with reading(self._engine) as connection:
            owner = accounts.find(connection, name)
            if owner is not None and owner.kind == "user":
                return accounts.view(connection, owner, self._now())
        if owner is not None:
            raise of_project(name)
        return self.open_accounts({name: first}, actor=actor)[0]

    def open_accounts(self, wanted: Mapping[str, FirstAllocation], *, actor: str) -> list[Account]:
        """Return the accounts of many users; those that there are not are opened, in one transaction.

        Args:
            wanted: what each is opened with, by their names on the hub.
            actor: who opens them.

        Raises:
            Refused: one of the names is a project's. None is opened then.
        """
        if not wanted:
            return []
        with decision(self._engine) as connection:
            open_users(connection, wanted, self._now(), actor=actor)
            owners = {owner.name: owner for owner in accounts.lock_names(connection, wanted).values()}
            for name in wanted:
                if owners[name].kind != "user":
                    raise of_project(name)
            return accounts.views(connection, [owners[name] for name in wanted], self._now())

    def open_project(self, name: str, tier_name: str, *, pi: str, actor: str) -> Account:
        """Return the account of that project; if there is none, open one without credits.

        Args:
            name: the project's name. Users and projects share one space of names.
            tier_name: the tier that it is on while it has no allocation.
            pi: who leads it; is made its PI when it is opened.
            actor: who opens it.

        Raises:
            ConflictingAccountError: the name is a user's.
            ImpossibleError: it can be no name, nor can the PI's.
        """
        check_name(name)
        check_name(pi)
        with decision(self._engine) as connection:
            now = self._now()
            opened = accounts.add(connection, name=name, kind="project", tier=tier_name, now=now)
            book = self._book(connection, name)
            if book.owner.kind != "project":
                raise ConflictingAccountError(f"{name} is a user's account. Choose another name for the project.")
            if opened:
                change_role(book, pi, "pi", actor=actor)
            return accounts.view(connection, book.owner, book.now)

    def set_member(self, project: str, member: str, role: Role | None, *, actor: str) -> None:
        """Give somebody a role in a project, or with None, none any more. What runs goes on.

        Raises:
            UnknownAccountError: there is no account of that name.
            ImpossibleError: it is not a project, it would be left without a PI, or the member's can be no name.
        """
        check_name(member)
        with decision(self._engine) as connection:
            book = self._book(connection, project)
            if book.owner.kind != "project":
                raise ImpossibleError(f"{project} is a user's account and has no members.")
            before = accounts.role_of(connection, book.owner.id, member)
            if before == role:
                return
            if before == "pi":
                others = accounts.members(connection, book.owner.id, former=False)
                if not any(other.role == "pi" and other.name != member for other in others):
                    raise ImpossibleError(f"{member} is the only PI of {project}. Make somebody else one first.")
            change_role(book, member, role, actor=actor)
