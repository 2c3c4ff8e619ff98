"""TAP's routes for jobs (UWS 1.1, section 2.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, Response

from romanhub.discovery.access import ANONYMOUS, Doorkeeper, NotSignedInError, Reader
from romanhub.discovery.failures import MissingError
from romanhub.discovery.formats import VOTABLE, error_document
from romanhub.discovery.jobs import Job, Jobs
from romanhub.discovery.params import Params, UsageError, read_params
from romanhub.discovery.search import Search
from romanhub.discovery.tap import documents
from romanhub.discovery.tap.runner import Runner

XML = "application/xml"
#: How long a request may wait for a job to go on, in seconds.
_LONGEST_WAIT = 60
#: Parameters that are about a job, and not its own.
_ABOUT = {"PHASE", "ACTION", "WAIT", "RUNID", "DESTRUCTION", "EXECUTIONDURATION"}

Found = TypeVar("Found")


def routes(doorkeeper: Doorkeeper, search: Search, jobs: Jobs, runner: Runner, *, url: str) -> APIRouter:
    """Return the routes below `tap/async`; `url` is their address as people reach it."""
    router = APIRouter(tags=["TAP jobs"])
    limits = search.limits

    async def owner_of(request: Request) -> Reader:
        reader = await doorkeeper.reader(request)
        if reader.name == ANONYMOUS:
            raise NotSignedInError("Jobs belong to somebody. Sign in with a hub token to run one.")
        return reader

    async def do(work: Callable[[], Found]) -> Found:
        return await asyncio.to_thread(work)

    def there(job: str) -> RedirectResponse:
        return RedirectResponse(f"{url}/{job}", status_code=303)

    async def sent(request: Request) -> Params:
        return await read_params(request, most_bytes=limits.upload_bytes)

    def keep_files(job: Job, params: Params) -> None:
        for part, content in params.files.items():
            path = jobs.upload_path(job.id, part)
            path.write_bytes(content)
            path.chmod(0o600)

    @router.get("")
    async def listed(request: Request) -> Response:
        """The sender's jobs."""
        reader = await owner_of(request)
        params = await sent(request)
        phases, last, after = set(params.all("PHASE")), params.whole("LAST", least=1), params.one("AFTER")
        found = await do(lambda: jobs.of_owner(reader.name))
        if phases:
            found = [job for job in found if job.phase in phases]
        if after is not None:
            since = _moment(after, "AFTER")
            found = [job for job in found if job.created > since]
        return Response(documents.list_document(found[:last], url), media_type=XML)

    @router.post("")
    async def create(request: Request) -> Response:
        """Make a job, and start it where PHASE=RUN was sent with it."""
        reader = await owner_of(request)
        params = await sent(request)
        kept = [(name, value) for name, value in params.pairs if name not in _ABOUT]
        job = await do(
            lambda: jobs.create(reader.name, kept, seconds=limits.async_seconds, run_id=params.one("RUNID"))
        )
        await do(lambda: keep_files(job, params))
        if params.one("PHASE") == "RUN":
            await do(lambda: runner.start(reader, job))
        return there(job.id)

    @router.get("/{number}")
    async def read(request: Request, number: str) -> Response:
        """A job; with WAIT, once it has gone on."""
        reader = await owner_of(request)
        params = await sent(request)
        job = await do(lambda: jobs.get(reader.name, number))
        asked = params.one("WAIT")
        if asked is not None and job.phase in ("PENDING", "QUEUED", "EXECUTING"):
            try:
                seconds = int(asked)
            except ValueError:
                raise UsageError(f"WAIT has to be a number of seconds; it was {asked!r}.") from None
            if params.one("PHASE") in (None, job.phase):
                seconds = _LONGEST_WAIT if seconds < 0 else min(seconds, _LONGEST_WAIT)
                job = await do(lambda: runner.wait(reader.name, number, job.phase, seconds))
        return Response(documents.job_document(job, f"{url}/{number}"), media_type=XML)

    @router.post("/{number}")
    async def act(request: Request, number: str) -> Response:
        """Delete a job (ACTION=DELETE), or change its parameters."""
        reader = await owner_of(request)
        params = await sent(request)
        if params.one("ACTION") == "DELETE":
            return await remove(reader, number)
        await change(reader, number, params)
        return there(number)

    @router.delete("/{number}")
    async def delete(request: Request, number: str) -> Response:
        """Delete a job and its result."""
        return await remove(await owner_of(request), number)

    async def remove(reader: Reader, number: str) -> Response:
        await do(lambda: jobs.delete(reader.name, number))
        runner.stop(number)
        return RedirectResponse(url, status_code=303)

    async def change(reader: Reader, number: str, params: Params) -> None:
        job = await do(lambda: jobs.get(reader.name, number))
        said = [(name, value) for name, value in params.pairs if name not in _ABOUT]
        names = {name for name, _ in said}
        if said or params.files:
            kept = [pair for pair in job.params if pair[0] not in names or pair[0] == "UPLOAD"]
            await do(lambda: jobs.change(reader.name, number, params=[*kept, *said]))
            await do(lambda: keep_files(job, params))
        if text := params.one("DESTRUCTION"):
            moment = _moment(text, "DESTRUCTION")
            await do(lambda: jobs.change(reader.name, number, destruction=moment))
        seconds = params.whole("EXECUTIONDURATION")
        if seconds is not None:
            allowed = min(seconds or limits.async_seconds, limits.async_seconds)
            await do(lambda: jobs.change(reader.name, number, seconds=allowed))
        if (phase := params.one("PHASE")) is not None:
            await move(reader, job, phase)

    async def move(reader: Reader, job: Job, phase: str) -> None:
        if phase == "RUN":
            if job.phase not in ("QUEUED", "EXECUTING"):
                await do(lambda: runner.start(reader, job))
        elif phase == "ABORT":
            await do(lambda: jobs.abort(reader.name, job.id))
            runner.stop(job.id)
            runner.tell()
        else:
            raise UsageError(f"PHASE can be RUN or ABORT; it was {phase!r}.")

    @router.get("/{number}/results/result")
    async def result(request: Request, number: str) -> Response:
        """The result of a job that has completed."""
        reader = await owner_of(request)
        job = await do(lambda: jobs.get(reader.name, number))
        if job.phase != "COMPLETED":
            raise MissingError(f"The job is {job.phase} and has no result.")
        return FileResponse(jobs.result_path(number), media_type=job.media_type, filename=f"result.{job.ending}")

    @router.get("/{number}/error")
    async def error(request: Request, number: str) -> Response:
        """Why a job failed, as a VOTable."""
        reader = await owner_of(request)
        job = await do(lambda: jobs.get(reader.name, number))
        if job.error is None:
            raise MissingError(f"The job is {job.phase} and has no error.")
        return Response(error_document(job.error), media_type=VOTABLE)

    @router.get("/{number}/{part}")
    async def part_of(request: Request, number: str, part: str) -> Response:
        """One thing of a job: phase, executionduration, destruction, quote, owner, parameters, results."""
        reader = await owner_of(request)
        job = await do(lambda: jobs.get(reader.name, number))
        if part == "parameters":
            return Response(documents.parameters_document(job), media_type=XML)
        if part == "results":
            return Response(documents.results_document(job, f"{url}/{number}"), media_type=XML)
        texts = {
            "phase": job.phase,
            "executionduration": str(job.seconds),
            "destruction": documents.utc(job.destruction) or "",
            "quote": "",
            "owner": job.owner.partition(":")[2],
        }
        if part not in texts:
            raise MissingError(f"A job has no {part}.")
        return PlainTextResponse(texts[part])

    @router.post("/{number}/{part}")
    async def change_part(request: Request, number: str, part: str) -> Response:
        """Change one thing of a job: phase, executionduration, destruction, parameters."""
        reader = await owner_of(request)
        params = await sent(request)
        if part not in ("phase", "executionduration", "destruction", "parameters"):
            raise MissingError(f"{part} of a job cannot be changed.")
        if part != "parameters" and part.upper() not in params.names():
            raise UsageError(f"Send {part.upper()} with its new value.")
        await change(reader, number, params)
        return there(number)

    return router


def _moment(text: str, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} has to be a time such as 2027-06-01T03:20:00Z; it was {text!r}.") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
