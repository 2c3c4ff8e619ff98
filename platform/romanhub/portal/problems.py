"""Everything that can go wrong with a request, as one kind of answer.

Programs read an RFC 9457 problem document, people a page in plain words; both say the same.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

#: The media type of RFC 9457, section 3.
MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Why a request could not be answered (RFC 9457)."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(default="about:blank", description="No type of its own: `status` says which it is.")
    title: str = Field(description="The problem in a few words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened and what to do about it, in full sentences.")


class PortalError(Exception):
    """A request that cannot be answered; `problem` says why."""

    def __init__(self, status: HTTPStatus, detail: str, *, title: str | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(title=title or status.phrase, status=status.value, detail=detail)


def invalid(detail: str) -> PortalError:
    """Return the error that says that what was sent cannot be meant."""
    return PortalError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, title="The request is not valid")


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of problem documents with these statuses."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }
