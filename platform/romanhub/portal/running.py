"""Runs of notebooks as pages and API have them: people's own, and what the server of a run is told and says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

import anyio
import anyio.to_thread
from hubquota.models.money import exact_credits
from sqlalchemy.exc import SQLAlchemyError

from romanhub.community.errors import NoSuchEntryError, UnavailableError
from romanhub.community.proof.queue import Queue, RunRefusedError, UnknownRunError
from romanhub.community.proof.settings import load_run_settings
from romanhub.community.settings import CommunitySettings
from romanhub.community.storage.bucket import CommunityBucket
from romanhub.models.runs import OwnRun, Report, Run, Task
from romanhub.portal.auth import Visitor
from romanhub.portal.problems import PortalError

_Found = TypeVar("_Found")

#: How long one question to the queue may take, in seconds.
DEADLINE = 20.0

#: How many runs a list shows.
MOST = 100


#: How many runs the page of an entry shows.
OF_ENTRY = 8


class Running:
    """The queue of runs, each question in a thread and within a deadline. All raise PortalError.

    Parameters
    ----------
    queue
        The queue; None where nothing is run without a person.
    content
        Gives a shared notebook's file by its digest.
    """

    def __init__(self, queue: Queue | None, content: Callable[[str], bytes]) -> None:
        self._queue = queue
        self._content = content

    async def later(
        self, visitor: Visitor, notebook: str, after: datetime | None, *, account: str | None, size: str | None
    ) -> OwnRun:
        """Queue somebody's own notebook."""
        return own_run(
            await self._ask(lambda queue: queue.later(visitor.name, notebook, after, account=account, size=size))
        )

    async def runs(self, visitor: Visitor) -> tuple[OwnRun, ...]:
        """Return somebody's own runs, the newest first."""
        found = await self._ask(lambda queue: queue.of_person(visitor.name, limit=MOST))
        return tuple(own_run(one) for one in found)

    async def of_entry(self, name: str) -> tuple[Run, ...]:
        """Return the last runs of a shared notebook, the newest first; none where nothing is run."""
        if self._queue is None:
            return ()
        return tuple(await self._ask(lambda queue: queue.of_entry(name, limit=OF_ENTRY)))

    async def cancel(self, visitor: Visitor, number: int) -> OwnRun:
        """Take somebody's own run back."""
        return own_run(await self._ask(lambda queue: queue.cancel(visitor.name, number)))

    async def task(self, visitor: Visitor, number: int) -> Task:
        """Return what the server that asks is to do."""
        return await self._ask(lambda queue: queue.task(number, visitor.name, visitor.server, self._content))

    async def report(self, visitor: Visitor, number: int, report: Report) -> None:
        """Note what the server that asks says of its run."""
        await self._ask(lambda queue: queue.report(number, visitor.name, visitor.server, report))

    async def _ask(self, question: Callable[[Queue], _Found]) -> _Found:
        queue = self._queue
        if queue is None:
            raise PortalError(HTTPStatus.NOT_FOUND, "This platform runs no notebooks by itself.")
        try:
            with anyio.fail_after(DEADLINE):
                return await anyio.to_thread.run_sync(lambda: question(queue), abandon_on_cancel=True)
        except (UnknownRunError, NoSuchEntryError) as error:
            raise PortalError(HTTPStatus.NOT_FOUND, str(error)) from None
        except RunRefusedError as error:
            raise PortalError(HTTPStatus.CONFLICT, str(error)) from None
        except (TimeoutError, SQLAlchemyError, UnavailableError) as error:
            raise PortalError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The queue of runs does not answer just now. Try again in a minute.",
            ) from error


#: Of a platform without a catalogue.
NOTHING_RUNS = Running(None, lambda _digest: b"")


def own_run(run: Run) -> OwnRun:
    """Return a run as its owner reads of it."""
    return OwnRun(
        id=run.id,
        notebook=run.notebook,
        state=run.state,
        queued_at=run.queued_at,
        not_before=run.not_before,
        started_at=run.started_at,
        ended_at=run.ended_at,
        failed_cell=run.failed_cell,
        error=run.error,
        seconds=run.seconds,
        credits=None if run.credits is None else exact_credits(run.credits),
        result=run.result,
    )


def open_running(
    community: CommunitySettings | None, runs_file: str | None, *, clock: Callable[[], datetime]
) -> Running:
    """Return the queue of the catalogue that the settings describe.

    Raises
    ------
    SettingsFileError
        The file of settings of runs has mistakes.
    """
    if community is None:
        return NOTHING_RUNS
    queue = Queue(community.engine(), load_run_settings(runs_file), clock)
    return Running(queue, CommunityBucket(community).get)
