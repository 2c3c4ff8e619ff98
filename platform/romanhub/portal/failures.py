"""Turns whatever a route raises into an answer: a problem document for programs, a page for people."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from hubquota.models.ledger import (
    ConflictingAccountError,
    ConflictingKeyError,
    ImpossibleError,
    Refused,
    UnknownAccountError,
    UnknownAllocationError,
    UnknownLeaseError,
    UnknownOverrideError,
    UnknownRequestError,
)
from hubquota.models.purge import PurgeError, UnknownPurgeError
from hubquota.models.requests import ConflictingRequestError
from hubquota.models.requests import NotAllowedError as NotTheirsError
from hubquota.models.scratch import UnknownScratchError
from hubquota.services.settingsfile import SettingsFileError
from starlette.datastructures import URL
from starlette.exceptions import HTTPException

from romanhub.community.errors import (
    CommunityError,
    ConflictError,
    NoSuchEntryError,
    NotYoursError,
    RefusedError,
)
from romanhub.portal.auth import Doorkeeper, NotAllowedError, NotSignedInError, SignInFailedError
from romanhub.portal.desk import LedgerUnavailableError
from romanhub.portal.headers import protect
from romanhub.portal.hub import CodeRefusedError, HubUnavailableError
from romanhub.portal.problems import MEDIA_TYPE, PortalError, Problem
from romanhub.portal.rendering import Pages
from romanhub.portal.settings import HubSettings
from romanhub.portal.signin import redirect

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Link:
    text: str
    address: str


class Failures:
    """Answers requests that failed. Who is not signed in is sent to sign in, if it is a page they want."""

    def __init__(self, settings: HubSettings, doorkeeper: Doorkeeper, pages: Pages) -> None:
        self._settings = settings
        self._doorkeeper = doorkeeper
        self._pages = pages

    def install(self, app: FastAPI) -> None:
        """Handle what `app`'s routes raise."""
        app.add_exception_handler(NotSignedInError, self._not_signed_in)
        for kind in (
            NotAllowedError,
            SignInFailedError,
            CodeRefusedError,
            HubUnavailableError,
            LedgerUnavailableError,
            UnknownAccountError,
            UnknownAllocationError,
            UnknownLeaseError,
            UnknownOverrideError,
            UnknownRequestError,
            UnknownScratchError,
            PurgeError,
            SettingsFileError,
            NotTheirsError,
            Refused,
            ConflictingAccountError,
            ConflictingKeyError,
            ConflictingRequestError,
            ImpossibleError,
            CommunityError,
            PortalError,
            RequestValidationError,
            HTTPException,
        ):
            app.add_exception_handler(kind, self._failed)
        app.add_exception_handler(Exception, self._broken)

    async def _not_signed_in(self, request: Request, error: Exception) -> Response:
        if self._is_api(request):
            return self._answer(request, error)
        # A form cannot be sent again by itself: who signs in anew comes back to the page that it is on.
        sent = request.method not in ("GET", "HEAD")
        url = URL(request.headers.get("referer", "")) if sent else request.url
        path = url.path + (f"?{url.query}" if url.query else "")
        if sent and not path.startswith(self._settings.prefix):
            path = self._settings.prefix
        try:
            address, cookie = await self._doorkeeper.begin_sign_in(path)
        except HubUnavailableError as unavailable:
            return self._answer(request, unavailable)
        return redirect(address, [cookie], self._doorkeeper, request)

    async def _failed(self, request: Request, error: Exception) -> Response:
        return self._answer(request, error)

    async def _broken(self, request: Request, error: Exception) -> Response:
        # What answers here is outside of all middleware, which has not seen this answer.
        response = self._answer(request, error)
        protect(response.headers)
        return response

    def _is_api(self, request: Request) -> bool:
        return request.url.path.startswith(f"{self._settings.prefix}api/")

    def _answer(self, request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        headers = {}
        if problem.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "5"
        if isinstance(error, HTTPException) and error.headers:
            headers.update(error.headers)
        if self._is_api(request):
            return Response(problem.model_dump_json(), problem.status, headers, media_type=MEDIA_TYPE)
        page = self._pages.render(
            "problem.html",
            visitor=getattr(request.state, "visitor", None),
            here=None,
            items=self._pages.items(request),
            problem=problem,
            links=self._ways_out(request, error),
        )
        return HTMLResponse(page, problem.status, headers)

    def _ways_out(self, request: Request, error: Exception) -> list[_Link]:
        hub_home = _Link("Hub home", self._settings.page("home"))
        account = _Link("Your account", self._settings.prefix)
        if request.method == "POST":
            # The page that the form was on shows how things are now.
            back = request.scope.get("portal.back", "")
            return [_Link("Back to the page", f"{self._settings.prefix}{back}"), account]
        if isinstance(error, HubUnavailableError | LedgerUnavailableError):
            return [_Link("Try again", request.url.path)]
        if isinstance(error, SignInFailedError | CodeRefusedError):
            return [_Link("Sign in again", self._settings.prefix), hub_home]
        if isinstance(error, NotAllowedError) and not hasattr(request.state, "visitor"):
            return [hub_home, _Link("Sign out", f"{self._settings.prefix}logout")]
        return [account, hub_home]


def problem_of(error: Exception) -> Problem:
    """Return what to say of an error; one that nobody foresaw is logged, and not explained."""
    match error:
        case PortalError():
            return error.problem
        case NotSignedInError():
            return _problem(HTTPStatus.UNAUTHORIZED, "Not signed in", error.why)
        case NotAllowedError():
            return _problem(HTTPStatus.FORBIDDEN, "Not for this account", error.why)
        case SignInFailedError():
            return _problem(HTTPStatus.BAD_REQUEST, "Signing in did not work", error.why)
        case CodeRefusedError():
            log.warning("A sign-in failed: %s", error)
            return _problem(
                HTTPStatus.BAD_REQUEST,
                "Signing in did not work",
                "The hub did not take its own sign-in back; it may have been used before, or have ended.",
            )
        case HubUnavailableError():
            log.error("The hub cannot be reached: %s", error)
            return _problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The hub is not answering",
                "The portal asks the hub who you are, and the hub is not answering. Servers that run are "
                "not affected. Try again in a minute; if it lasts, tell the people who run this platform.",
            )
        case LedgerUnavailableError(acting=True):
            return _problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The ledger is not answering",
                "The ledger did not answer in time, so it is not known whether this was done. Look at the "
                "account before you repeat it; with the same idempotency key, repeating it is safe.",
            )
        case LedgerUnavailableError():
            return _problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The ledger is not answering",
                "Accounts and balances cannot be read just now. Servers that run are not affected. Try again "
                "in a minute; if it lasts, tell the people who run this platform.",
            )
        case UnknownAccountError():
            return _problem(
                HTTPStatus.NOT_FOUND,
                "No such account",
                "There is no account of that name. An account is opened when its owner first signs in.",
            )
        case (
            UnknownAllocationError()
            | UnknownLeaseError()
            | UnknownRequestError()
            | UnknownOverrideError()
            | UnknownPurgeError()
            | UnknownScratchError()
        ):
            return _problem(HTTPStatus.NOT_FOUND, "Not found", str(error))
        case NotTheirsError():
            return _problem(HTTPStatus.FORBIDDEN, "Not allowed", str(error))
        case Refused():
            return _problem(HTTPStatus.CONFLICT, "Refused", error.message)
        case ConflictingRequestError() | ConflictingAccountError():
            return _problem(HTTPStatus.CONFLICT, "Somebody was here first", str(error))
        case NotYoursError():
            return _problem(HTTPStatus.FORBIDDEN, "Not yours", str(error))
        case NoSuchEntryError():
            return _problem(HTTPStatus.NOT_FOUND, "No such entry", str(error))
        case ConflictError():
            return _problem(HTTPStatus.CONFLICT, "That cannot be done now", str(error))
        case RefusedError():
            return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "This cannot be taken", str(error))
        case CommunityError():
            log.error("The community's catalogue could not be used.", exc_info=error)
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "The catalogue is not answering", str(error))
        case ConflictingKeyError():
            return _problem(HTTPStatus.CONFLICT, "The idempotency key is taken", str(error))
        case ImpossibleError() | PurgeError() | SettingsFileError():
            return _problem(HTTPStatus.CONFLICT, "That cannot be done now", str(error))
        case RequestValidationError():
            return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid", _mistakes(error))
        case HTTPException(status_code=404):
            return _problem(HTTPStatus.NOT_FOUND, "Not found", "There is nothing at this address.")
        case HTTPException():
            phrase = HTTPStatus(error.status_code).phrase
            return _problem(HTTPStatus(error.status_code), phrase, f"{error.detail}.")
        case _:
            log.error("A request failed in a way that was not foreseen.", exc_info=error)
            return _problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "Something went wrong here",
                "The portal made a mistake and has written it down in its log. Nothing was changed. Tell the "
                "people who run this platform if it happens again.",
            )


def _problem(status: HTTPStatus, title: str, detail: str) -> Problem:
    return Problem(title=title, status=status.value, detail=detail)


def _mistakes(error: RequestValidationError) -> str:
    return " ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}." for each in error.errors())
