"""Large bodies of requests, read up to a size and not taken apart before they are whole."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from romanhub.portal.problems import PortalError, invalid

_Model = TypeVar("_Model", bound=BaseModel)


async def read_body(request: Request, model: type[_Model], *, at_most: int) -> _Model:
    """Return what was sent as JSON.

    FastAPI would read a body of any size before it asks who sends it.

    Raises
    ------
    PortalError
        Where it is larger than so many bytes, or not what the model says.
    """
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > at_most:
            raise PortalError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"What was sent has more than {at_most / 1e6:.0f} MB, which is the most.",
            )
    try:
        return model.model_validate_json(b"".join(parts))
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
