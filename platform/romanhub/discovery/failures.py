"""Turns what goes wrong into the answer that each door's readers understand."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from romanhub.discovery.access import NotAllowedError, NotSignedInError
from romanhub.discovery.adql.parsing import AdqlError
from romanhub.discovery.engine import NotReadyError, QueryFailedError, TooLongError
from romanhub.discovery.formats import VOTABLE, error_document
from romanhub.discovery.geometry import ShapeError
from romanhub.discovery.params import TooLargeError, UsageError
from romanhub.discovery.search import BusyError
from romanhub.portal.hub import HubUnavailableError
from romanhub.portal.problems import MEDIA_TYPE, Problem

log = logging.getLogger(__name__)


class MissingError(Exception):
    """There is no such thing; the message says what, and where to look."""


#: What can go wrong, with the status of HTTP.
KINDS: dict[type[Exception], HTTPStatus] = {
    UsageError: HTTPStatus.BAD_REQUEST,
    ShapeError: HTTPStatus.BAD_REQUEST,
    AdqlError: HTTPStatus.BAD_REQUEST,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooLongError: HTTPStatus.BAD_REQUEST,
    QueryFailedError: HTTPStatus.BAD_REQUEST,
    MissingError: HTTPStatus.NOT_FOUND,
    NotSignedInError: HTTPStatus.UNAUTHORIZED,
    NotAllowedError: HTTPStatus.FORBIDDEN,
    BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
    HubUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
#: Both ways to sign in (RFC 7235), Basic first: it is the one that desktop programs ask people for.
_CHALLENGE = 'Basic realm="RomanHub archive: any user name, and a hub token as the password", Bearer'


def message_of(error: Exception) -> str:
    """Return what to tell a sender of what went wrong."""
    if isinstance(error, HubUnavailableError):
        return f"The hub could not be asked who you are: {error}. Try again in a minute."
    return str(error)


def as_problem(request: Request, error: Exception) -> Response:
    """Answer a failure with a problem document (RFC 9457), for the doors that speak JSON."""
    status = KINDS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    problem = Problem(title=status.phrase, status=status.value, detail=message_of(error))
    return JSONResponse(problem.model_dump(), status.value, _headers(status), MEDIA_TYPE)


def as_votable(request: Request, error: Exception) -> Response:
    """Answer a failure with a VOTable (DALI 1.1, section 4.4), for the VO's doors."""
    status = KINDS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    return Response(error_document(message_of(error)), status.value, _headers(status), VOTABLE)


def _headers(status: HTTPStatus) -> dict[str, str]:
    if status is HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": _CHALLENGE}
    return {"Retry-After": "30"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
