"""Projects that follow from hub groups: whoever is in a group draws on the project of its name."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from hubquota.models.ledger import ConflictingAccountError, Role
from hubquota.models.tiers import Tiers
from hubquota.services.base import Service
from hubquota.services.book import Book
from hubquota.services.membership import change_role
from hubquota.storage import accounts
from hubquota.storage.engine import decision, reading

log = logging.getLogger(__name__)

#: Who opens and ends the memberships that follow from groups. What people decided is left alone.
GROUPS = "hub groups"


class GroupProjects(Service):
    """Keeps the memberships that follow from groups in step with them, as dated facts."""

    def sync_members(
        self, project: str, members: Collection[str], pis: Collection[str], *, tier: str, actor: str = GROUPS
    ) -> int:
        """Make a project's memberships what its groups say. Return how many were opened or ended.

        A project that is not there is opened, without credits. Memberships that somebody else than `actor`
        opened stay as they are. Done again, it changes nothing.

        Args:
            project: the project's name.
            members: who is in the group.
            pis: who is in the group of its PIs; they are members too.
            tier: the tier that a new project is on while it has no allocation.
            actor: whose memberships these are.

        Raises:
            ConflictingAccountError: the name is a user's.
        """
        wanted: dict[str, Role] = {**dict.fromkeys(members, "member"), **dict.fromkeys(pis, "pi")}
        with decision(self._engine) as connection:
            book = self._group_project(connection, project, tier)
            there = {one.name for one in accounts.members(connection, book.owner.id, former=False)}
            return sum(
                _set_role(book, person, wanted.get(person), actor) for person in sorted(there | set(wanted))
            )

    def sync_person(
        self, person: str, projects: Mapping[str, tuple[str, bool]], *, actor: str = GROUPS
    ) -> list[str]:
        """Make one person's memberships what their groups say.

        Args:
            person: whose.
            projects: by the name of a project, the tier to open it on and whether they are a PI of it.
            actor: whose memberships these are; others stay as they are.

        Returns:
            The projects whose name is a user's, and that therefore cannot be.
        """
        with reading(self._engine) as connection:
            there = accounts.memberships_of(connection, person)
        now = {project: role for project, role, by in there if by == actor}
        others = {project for project, _, by in there if by != actor}
        conflicts: list[str] = []
        for project in sorted({*now, *projects} - others):
            tier, leads = projects.get(project, ("", False))
            role: Role | None = None if project not in projects else ("pi" if leads else "member")
            if now.get(project) == role:
                continue
            try:
                with decision(self._engine) as connection:
                    _set_role(self._group_project(connection, project, tier), person, role, actor)
            except ConflictingAccountError:
                conflicts.append(project)
        return conflicts

    def sync_groups(self, tiers: Tiers, person: str, groups: Collection[str]) -> None:
        """Bring somebody's memberships into step with their hub groups, where the tiers file says how."""
        if not tiers.projects.groups:
            return
        for project in self.sync_person(person, tiers.projects.of_groups(groups)):
            log.warning("%s is a user's account, so the hub group of that name cannot be a project.", project)

    def end_group_memberships(self, *, besides: Collection[str], actor: str = GROUPS) -> int:
        """End the memberships that followed from groups that are gone. Return how many.

        Args:
            besides: the projects that follow from groups now.
            actor: whose memberships these are; others stay as they are.
        """
        with reading(self._engine) as connection:
            there = accounts.memberships_by(connection, actor)
        gone = [(project, member) for project, member in there if project not in besides]
        done = 0
        for project, member in gone:
            with decision(self._engine) as connection:
                done += _set_role(self._book(connection, project), member, None, actor)
        return done

    def _group_project(self, connection: Connection, project: str, tier: str) -> Book:
        accounts.add(connection, name=project, kind="project", tier=tier, now=self._now())
        book = self._book(connection, project)
        if book.owner.kind != "project":
            raise ConflictingAccountError(
                f"{project} is a user's account, so no group of that name can be a project. Rename the group."
            )
        return book


def _set_role(book: Book, person: str, role: Role | None, actor: str) -> bool:
    before = accounts.membership_of(book.connection, book.owner.id, person)
    if before is not None and (before[1] != actor or before[0] == role):
        return False
    if before is None and role is None:
        return False
    change_role(book, person, role, actor=actor)
    return True
