"""The portal's questions to the archive's search service, asked with the visitor's own token."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from romanhub.portal.problems import invalid

#: How long a search may take, in seconds.
DEADLINE = 15.0


class SearchUnavailableError(Exception):
    """The search service did not answer, or not as it should."""


class FoundImage(BaseModel):
    """One image that a search found, as the search service tells of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    dataset: str
    level: int
    optical_element: str
    detector: str | None
    start: datetime
    exposure_time: float
    ra: float
    dec: float
    footprint: Annotated[tuple[tuple[float, float], ...], Field(min_length=3)]
    shape: tuple[int, int]
    size: int
    sha256: str
    key: str


class Found(BaseModel):
    """What a search found."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    images: tuple[FoundImage, ...]
    truncated: bool


class ImageSearch:
    """Asks the search service for images."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        """Ask a service.

        Args:
            url: the search service's address, as the portal reaches it.
            http: what requests go through; it is not closed here.
        """
        self._url = f"{url.rstrip('/')}/api/images"
        self._http = http

    async def images(self, token: str, conditions: list[tuple[str, str]]) -> Found:
        """Return the images that fulfil conditions, which are named as the service names them.

        Raises SearchUnavailableError, and PortalError with the service's own words for conditions that it refuses.
        """
        try:
            async with asyncio.timeout(DEADLINE):
                answer = await self._http.get(
                    self._url,
                    params=httpx.QueryParams([*conditions]),
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=None,
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise SearchUnavailableError(f"the search service did not answer: {type(error).__name__}") from error
        if answer.status_code in (400, 422):
            raise invalid(_said(answer))
        if answer.status_code != 200:
            raise SearchUnavailableError(f"the search service answered {answer.status_code}")
        try:
            return Found.model_validate_json(answer.content)
        except ValidationError as error:
            raise SearchUnavailableError("the search service's answer could not be read") from error


def _said(answer: httpx.Response) -> str:
    """Return the service's own words for a refusal (RFC 9457)."""
    try:
        detail = answer.json().get("detail")
    except (ValueError, AttributeError):
        detail = None
    return detail if isinstance(detail, str) and detail else "The archive's search refused these conditions."
