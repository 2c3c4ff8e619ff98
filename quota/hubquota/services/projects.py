"""A project as its PI sees it: who has used what, and who is in it."""

from __future__ import annotations

from hubquota.models.ledger import AccountSummary, ImpossibleError, Lease, Role
from hubquota.models.reading import MemberUse
from hubquota.models.requests import Actor, NotAllowedError
from hubquota.services.accounts import Accounts
from hubquota.services.base import known
from hubquota.services.opening import Opening
from hubquota.storage import accounts, history, leases
from hubquota.storage.engine import reading


class Projects(Accounts, Opening):
    """Reads a project by member, and lets its PIs say who is in it."""

    def use(self, project: str) -> list[MemberUse]:
        """Return what everybody has used of a project, members first, then those who were; most use first.

        Raises:
            UnknownAccountError: there is no account of that name.
            ImpossibleError: it is not a project.
        """
        with reading(self._engine) as connection:
            owner = known(connection, project)
            if owner.kind != "project":
                raise ImpossibleError(f"{project} is a user's account and has no members.")
            members = {one.name: one for one in accounts.members(connection, owner.id, former=False)}
            used = history.by_person(connection, owner.id)
            running = leases.list_open(connection, self._now(), kind=None, owner=project, person=None)
        by_person: dict[str, list[Lease]] = {}
        for lease in running:
            by_person.setdefault(lease.person, []).append(lease)
        found = []
        for person in {*members, *used}:
            member, (charged, sessions) = members.get(person), used.get(person, (0, 0))
            found.append(
                MemberUse(
                    person=person,
                    role=member.role if member else None,
                    since=member.since if member else None,
                    charged=charged,
                    sessions=sessions,
                    running=tuple(by_person.get(person, ())),
                )
            )
        return sorted(found, key=lambda one: (one.role is None, -one.charged, one.person))

    def role(self, account: str, person: str) -> Role | None:
        """Return what somebody is in a project now; None for nothing, and where there is no such project."""
        with reading(self._engine) as connection:
            owner = accounts.find(connection, account)
            return None if owner is None else accounts.role_of(connection, owner.id, person)

    def projects_of(self, person: str) -> list[tuple[AccountSummary, Role]]:
        """Return the projects that somebody is in, by name, each with their role."""
        with reading(self._engine) as connection:
            owners = [owner for owner in accounts.drawable(connection, person) if owner.kind == "project"]
            roles = [accounts.role_of(connection, owner.id, person) or "member" for owner in owners]
            return list(zip(self._summaries(connection, owners), roles, strict=True))

    def change_member(self, project: str, member: str, role: Role | None, *, by: Actor) -> None:
        """Give somebody a role in a project, or with None, end it, as one of its PIs or as an administrator.

        Raises:
            UnknownAccountError: there is no account of that name.
            NotAllowedError: only its PIs and administrators say who is in a project.
            ImpossibleError: it is not a project, it would be left without a PI, or there is no such member.
            ValueError: the member's name is empty.
        """
        if not member.strip():
            raise ValueError("Say whom: a member has a name on the hub.")
        with reading(self._engine) as connection:
            owner = known(connection, project)
            if not by.admin and accounts.role_of(connection, owner.id, by.name) != "pi":
                raise NotAllowedError(f"Only a PI of {project}, or an administrator, says who is in it.")
            if role is None and accounts.role_of(connection, owner.id, member) is None:
                raise ImpossibleError(f"{member} is not in the project {project}.")
        self.set_member(project, member, role, actor=by.name)
