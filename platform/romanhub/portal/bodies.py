"""Bodies of requests: how large they may be, and large ones, not taken apart before they are whole."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from romanhub.portal.problems import invalid

_Model = TypeVar("_Model", bound=BaseModel)

#: How many bytes a body may have that nothing else is said of.
LARGEST = 1_000_000
#: Where a request keeps how many it may have.
_LIMIT = "romanhub.largest_body"


@dataclass
class _Limit:
    at_most: int
    too_large: str = ""

    def said(self) -> str:
        """What whoever sent more reads, but for its full stop."""
        return self.too_large or f"What was sent has more than {self.at_most / 1e6:.0f} MB, which is the most"


class BodyLimit:
    """ASGI middleware that reads no more of a body than it may have.

    FastAPI reads a body of any size before it asks who sends it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = scope[_LIMIT] = _Limit(LARGEST)
        size = 0

        async def receive_some() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit.at_most:
                # FastAPI passes an error of its own on from where it reads a body, and no other.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, limit.said())
            return message

        await self._app(scope, receive_some, send)


def allow(request: Request, at_most: int, too_large: str = "") -> None:
    """Let a request have so many bytes, before its body is read; who sends more is told the sentence."""
    limit: _Limit = request.scope[_LIMIT]
    limit.at_most, limit.too_large = at_most, too_large.rstrip(".")


async def read_body(request: Request, model: type[_Model], *, at_most: int) -> _Model:
    """Return what was sent as JSON.

    Raises
    ------
    HTTPException
        Where it is larger than so many bytes.
    PortalError
        Where it is not what the model says.
    """
    allow(request, at_most)
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        told = [
            f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}."
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise invalid(" ".join(told)) from None


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return what OpenAPI says of a route that reads such a body."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
