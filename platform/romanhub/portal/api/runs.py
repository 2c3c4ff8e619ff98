"""Notebooks that run without a person: one's own, and what the server of a run asks and says."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field, StringConstraints

from romanhub.models.runs import NOTEBOOK_PATH, OwnRun, Report, Task
from romanhub.portal.auth import Visitor
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Input, Moment, Name
from romanhub.portal.models import Answer
from romanhub.portal.problems import described
from romanhub.portal.running import Running

_Id = Annotated[int, Path(ge=1, lt=2**63, description="The run's number.")]


class RunInput(Input):
    """A notebook of the caller's that is to be run without them."""

    notebook: Annotated[str, StringConstraints(pattern=NOTEBOOK_PATH, max_length=500)] = Field(
        description="Its path in the home."
    )
    after: Moment | None = Field(
        default=None, description="When it may start; as soon as there is room if not given."
    )
    account: Name | None = Field(default=None, description="Who pays; the caller if not given.")
    size: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")] | None = Field(
        default=None, description="The size of the server, by its name; the tier's default if not given."
    )


class RunsModel(Answer):
    """Runs of the caller's own notebooks, the newest first."""

    runs: tuple[OwnRun, ...]


class TakenModel(Answer):
    """That a report is noted."""

    id: int


def routes(gate: Gate, running: Running) -> APIRouter:
    """The routes of runs."""
    router = APIRouter(tags=["community"], prefix="/v1/community/runs")
    person = Depends(gate.person)

    @router.post("", status_code=201, responses=described(404, 409))
    async def run_later(given: RunInput, visitor: Visitor = person) -> OwnRun:
        """Have a notebook of the caller's run later, in a server of their own and on their account."""
        return await running.later(visitor, given.notebook, given.after, account=given.account, size=given.size)

    @router.get("", responses=described(404))
    async def list_runs(visitor: Visitor = person) -> RunsModel:
        """The caller's own runs, the newest first: the last hundred."""
        return RunsModel(runs=await running.runs(visitor))

    @router.post("/{number}/cancel", responses=described(404, 409))
    async def cancel_run(number: _Id, visitor: Visitor = person) -> OwnRun:
        """Take a run back: out of the queue, or its server is stopped."""
        return await running.cancel(visitor, number)

    @router.get("/{number}/task", responses=described(404))
    async def run_task(number: _Id, visitor: Visitor = person) -> Task:
        """What the server of a run is to do. Asked with that server's own token."""
        return await running.task(visitor, number)

    @router.post("/{number}/report", responses=described(404))
    async def report_run(number: _Id, given: Report, visitor: Visitor = person) -> TakenModel:
        """What the server of a run says at its end, with that server's own token. The first time counts."""
        await running.report(visitor, number, given)
        return TakenModel(id=number)

    return router
