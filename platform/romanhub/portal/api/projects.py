"""Projects, by member."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from hubquota.models.ledger import Account

from romanhub.portal.acts import Acts
from romanhub.portal.answers import MembersModel, ProjectModel, ProjectsModel, member_model
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import MemberInput, ProjectInput, Text
from romanhub.portal.models import AccountModel, balance_model
from romanhub.portal.problems import described
from romanhub.portal.reading import Reading


def routes(gate: Gate, desk: Desk, reading: Reading, acts: Acts) -> APIRouter:
    """The routes of projects."""
    router = APIRouter(tags=["projects"])
    person, anybody, requester = Depends(gate.person), Depends(gate.anybody), Depends(gate.requester)
    admin = Depends(gate.admin)

    @router.get("/projects")
    async def list_projects(visitor: Visitor = person) -> ProjectsModel:
        """The projects that the caller is in, with their balances."""
        found = await desk.ask(lambda: desk.projects.projects_of(visitor.name))
        return ProjectsModel(
            projects=tuple(
                ProjectModel(
                    account=_account(desk, summary.account),
                    balance=balance_model(summary.balance),
                    role=role,
                )
                for summary, role in found
            )
        )

    @router.post("/projects", status_code=201, responses=described(409))
    async def open_project(given: ProjectInput, visitor: Visitor = admin) -> AccountModel:
        """Open a project, without credits. One of that name that is there already stays as it is."""
        opened = await acts.open_project(visitor, given.name, tier=given.tier, pi=given.pi)
        return _account(desk, opened)

    @router.get("/members", responses=described(404, 409))
    async def list_members(
        project: Annotated[Text, Query(min_length=1, max_length=255, description="The project's name.")],
        visitor: Visitor = anybody,
    ) -> MembersModel:
        """What everybody has used of a project, for its PIs."""
        name = await reading.account(visitor, project)
        found = await reading.members(name)
        return MembersModel(project=name, members=tuple(member_model(one) for one in found))

    @router.put("/members", responses=described(404, 409))
    async def set_member(given: MemberInput, visitor: Visitor = requester) -> MembersModel:
        """Give somebody a role in a project, or with null, end it. For its PIs; what runs goes on."""
        await acts.set_member(visitor, given.project, given.member, given.role)
        found = await reading.members(given.project)
        return MembersModel(project=given.project, members=tuple(member_model(one) for one in found))

    return router


def _account(desk: Desk, found: Account) -> AccountModel:
    return AccountModel(
        name=found.name, kind=found.kind, tier=desk.tiers.largest(found.tiers), opened_at=found.created_at
    )
