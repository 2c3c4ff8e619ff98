"""The broker as an ASGI application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import romanhub
from romanhub.broker.desk import Desk, LedgerUnavailableError, NotWelcomeError, Settled
from romanhub.broker.issue import Issuer, TooManyKeysError
from romanhub.broker.minter import Keys, StorageUnavailableError
from romanhub.broker.policy import PolicyTooLongError
from romanhub.broker.settings import BrokerSettings
from romanhub.models.usage import UsageReceipt, UsageReport
from romanhub.portal.auth import NotAllowedError, NotSignedInError
from romanhub.portal.hub import HubUnavailableError
from romanhub.portal.problems import MEDIA_TYPE, Problem, described

log = logging.getLogger(__name__)

_Datasets = Annotated[
    list[str] | None,
    Query(
        description="Names of data sets that the keys are to open; all that one may read if not given. The "
        "community's data products are opened by name alone: community.photo-z, or community.photo-z.v2."
    ),
]
_Scratch = Annotated[bool, Query(description="Whether the keys are to open the caller's scratch, too.")]


class Health(BaseModel):
    """Whether the broker can do its work."""

    status: str = "ok"


def create_app(settings: BrokerSettings, *, desk: Desk, issuer: Issuer, clock: Callable[[], datetime]) -> FastAPI:
    """Return the broker.

    Args:
        settings: where it stands.
        desk: says who asks, and what they may use.
        issuer: makes the keys.
        clock: gives the present time, with its zone.
    """
    prefix = settings.hub.prefix
    app = FastAPI(
        title="RomanHub credential broker",
        description="Short-lived keys for the storage, in exchange for a token of the hub. Refusals are problem "
        "documents (RFC 9457).",
        version=romanhub.__version__,
        generate_unique_id_function=lambda route: route.name,
        openapi_url=f"{prefix}api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    errors = described(401, 403, 422, 429, 503)
    storage = settings.storage

    async def keys_for(request: Request, wanted: list[str] | None, scratch: bool) -> tuple[Settled, Keys]:
        guest = await desk.guest(request)
        settled = await desk.settle(guest, clock(), wanted, with_scratch=scratch)
        anew = request.method == "POST"
        return settled, await issuer.keys(guest.name, settled.readable, settled.scratch, anew=anew)

    @app.api_route(f"{prefix}api/credentials", methods=["GET", "POST"], responses=errors)
    async def credentials(request: Request, dataset: _Datasets = None, scratch: _Scratch = True) -> JSONResponse:
        """Keys, and what they open: data sets and scratch by name.

        GET answers with keys that others of the same person may have, too; POST with ones that are made anew, for
        whoever was refused with those.
        """
        settled, keys = await keys_for(request, dataset, scratch)
        return _private(
            {
                "access_key": keys.access_key.get_secret_value(),
                "secret_key": keys.secret_key.get_secret_value(),
                "session_token": keys.session_token.get_secret_value(),
                "expiration": keys.expiration.isoformat(),
                "endpoint": storage.endpoint,
                "region": storage.region,
                "datasets": {name: one.model_dump(mode="json") for name, one in settled.datasets.items()},
                "scratch": {name: one.model_dump(mode="json") for name, one in settled.scratch.items()},
                "products": {name: one.model_dump(mode="json") for name, one in settled.products.items()},
            }
        )

    @app.api_route(f"{prefix}api/credentials/process", methods=["GET", "POST"], responses=errors)
    async def for_process(request: Request, dataset: _Datasets = None, scratch: _Scratch = True) -> JSONResponse:
        """Keys in the form that AWS's libraries read from a `credential_process`."""
        _, keys = await keys_for(request, dataset, scratch)
        return _private(
            {
                "Version": 1,
                "AccessKeyId": keys.access_key.get_secret_value(),
                "SecretAccessKey": keys.secret_key.get_secret_value(),
                "SessionToken": keys.session_token.get_secret_value(),
                "Expiration": keys.expiration.isoformat(),
            }
        )

    @app.get(f"{prefix}api/datasets", responses=errors)
    async def list_datasets(request: Request) -> JSONResponse:
        """The data sets that the caller may read, by name."""
        settled = await desk.settle(await desk.guest(request), clock(), None)
        return JSONResponse({name: one.model_dump(mode="json") for name, one in settled.datasets.items()})

    @app.get(f"{prefix}api/products", responses=errors)
    async def list_products(request: Request) -> JSONResponse:
        """The community's data products, by name; those that are deprecated are left out."""
        found = await desk.products(await desk.guest(request), clock())
        return JSONResponse({name: one.model_dump(mode="json") for name, one in found.items()})

    @app.post(f"{prefix}api/usage", responses=errors)
    async def report_usage(request: Request, report: UsageReport) -> UsageReceipt:
        """Count what one process has read. A report that is sent again is counted once."""
        guest = await desk.guest(request)
        return UsageReceipt(counted=await desk.count(guest, report))

    @app.get(f"{prefix}api/health", responses=described(503))
    async def health() -> Health:
        """Whether the broker reaches the ledger. It asks for no token."""
        await desk.ensure_up()
        return Health()

    @app.get(prefix, include_in_schema=False)
    async def root() -> Health:
        """What the hub asks at its start."""
        return Health()

    for kind in (
        NotSignedInError,
        NotAllowedError,
        NotWelcomeError,
        HubUnavailableError,
        LedgerUnavailableError,
        StorageUnavailableError,
        PolicyTooLongError,
        TooManyKeysError,
        RequestValidationError,
        HTTPException,
        Exception,
    ):
        app.add_exception_handler(kind, _failed)
    return app


def _private(content: Mapping[str, object]) -> JSONResponse:
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


async def _failed(_request: Request, error: Exception) -> Response:
    status, title, detail = _told(error)
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    if isinstance(error, TooManyKeysError):
        headers["Retry-After"] = str(error.seconds)
    problem = Problem(title=title, status=status.value, detail=detail)
    return Response(problem.model_dump_json(), status, headers, media_type=MEDIA_TYPE)


def _told(error: Exception) -> tuple[HTTPStatus, str, str]:
    match error:
        case NotSignedInError():
            return HTTPStatus.UNAUTHORIZED, "Not signed in", error.why
        case NotAllowedError() | NotWelcomeError():
            return HTTPStatus.FORBIDDEN, "No keys", error.why
        case TooManyKeysError():
            return HTTPStatus.TOO_MANY_REQUESTS, "Too many keys", str(error)
        case PolicyTooLongError():
            return HTTPStatus.UNPROCESSABLE_ENTITY, "Too much for one key", str(error)
        case HubUnavailableError():
            log.error("The hub cannot be reached: %s", error)
            return _wait("The hub is not answering", "it is not known who asks for keys")
        case LedgerUnavailableError():
            return _wait("The ledger is not answering", "it is not known whether keys may be given")
        case StorageUnavailableError():
            log.error("The storage gave no keys: %s", error)
            return _wait("The storage is not answering", "it gives no keys")
        case RequestValidationError():
            wrong = " ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}." for one in error.errors())
            return HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid", wrong
        case HTTPException():
            phrase = HTTPStatus(error.status_code).phrase
            return HTTPStatus(error.status_code), phrase, f"{error.detail}."
    log.error("A request failed in a way that was not foreseen.", exc_info=error)
    return (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong here",
        "The broker made a mistake and has written it down in its log. Tell the people who run this platform.",
    )


def _wait(title: str, why: str) -> tuple[HTTPStatus, str, str]:
    detail = f"Just now {why}. Keys that were given out go on working. Try again in a minute."
    return HTTPStatus.SERVICE_UNAVAILABLE, title, detail
