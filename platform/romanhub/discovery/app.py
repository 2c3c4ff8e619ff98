"""The search service as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

import romanhub
from romanhub.discovery import api, cone, datalink, failures, sia
from romanhub.discovery.access import Doorkeeper
from romanhub.discovery.engine import Engine
from romanhub.discovery.jobs import Jobs, JobStateError, UnknownJobError
from romanhub.discovery.params import UsageError
from romanhub.discovery.search import Search
from romanhub.discovery.settings import DiscoverySettings
from romanhub.discovery.store import Place
from romanhub.discovery.tap import async_routes
from romanhub.discovery.tap import routes as tap_routes
from romanhub.discovery.tap.runner import Runner
from romanhub.portal.hub import HubClient
from romanhub.services.datasetsfile import DatasetsFile

log = logging.getLogger(__name__)

#: How often jobs whose time has come are removed, in seconds.
_SWEEP = 300


def create_app(
    settings: DiscoverySettings,
    *,
    hub: HubClient,
    datasets: DatasetsFile,
    clock: Callable[[], datetime],
) -> FastAPI:
    """Return the search service.

    Args:
        settings: where it stands, and what queries may take.
        hub: answers who is who.
        datasets: says who may read what.
        clock: gives the present time, with its zone.
    """
    place = Place(settings.folder)
    engine = Engine(place, threads=settings.queries.threads, memory=settings.queries.memory)
    search = Search(settings, engine)
    jobs = Jobs(
        settings.jobs_folder,
        clock=clock,
        most_each=settings.queries.jobs_each,
        keep=timedelta(days=settings.queries.job_days),
    )
    runner = Runner(jobs, search)
    doorkeeper = Doorkeeper(settings.hub, hub, datasets, anonymous=settings.anonymous, clock=clock)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(jobs, runner))
        try:
            yield
        finally:
            sweeping.cancel()
            search.close()
            await asyncio.to_thread(runner.close)
            jobs.close()

    prefix = settings.hub.prefix
    app = FastAPI(
        title="RomanHub archive",
        description="Searches of the archive: TAP 1.1, SIA 2.0, cone search, DataLink, and JSON.",
        version=romanhub.__version__,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: f"{route.name}_{route.path}",
        openapi_url=f"{prefix}api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    since = clock()
    base = settings.url.rstrip("/")
    for path, router in (
        ("tap", tap_routes.routes(doorkeeper, search, url=f"{base}/tap", since=since)),
        ("tap/async", async_routes.routes(doorkeeper, search, jobs, runner, url=f"{base}/tap/async")),
        ("sia2", sia.routes(doorkeeper, search, url=f"{base}/sia2", since=since)),
        ("cone", cone.routes(doorkeeper, search, url=f"{base}/cone", since=since)),
        ("datalink", datalink.routes(doorkeeper, search, url=f"{base}/datalink")),
        ("api", api.routes(doorkeeper, search, place)),
    ):
        app.include_router(router, prefix=f"{prefix}{path}")
    _handle_failures(app, f"{prefix}api/")
    return app


def _handle_failures(app: FastAPI, json_door: str) -> None:
    """Answer what goes wrong in the way of the door that was asked at."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, UnknownJobError):
            error = failures.MissingError(str(error))
        elif isinstance(error, JobStateError):
            error = UsageError(str(error))
        elif isinstance(error, HTTPException):
            error = failures.MissingError(f"There is nothing at {request.url.path}.")
        elif type(error) not in failures.KINDS:
            log.error("A request failed.", exc_info=error)
            error = RuntimeError("The service failed; its log says why. Try again in a minute.")
        as_json = request.url.path.startswith(json_door)
        return (failures.as_problem if as_json else failures.as_votable)(request, error)

    for kind in (*failures.KINDS, UnknownJobError, JobStateError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


async def _sweep(jobs: Jobs, runner: Runner) -> None:
    while True:
        for number in await asyncio.to_thread(jobs.expire):
            runner.stop(number)
        await asyncio.sleep(_SWEEP)
