"""What the archive's index says of images, asked of the search service: so nobody reads all of the index."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from romanhub.client.connection import TOKEN_VARIABLE
from romanhub.client.errors import ArchiveUnavailableError
from romanhub.client.search import Conditions
from romanhub.client.service import MOST, SEARCH_VARIABLE
from romanhub.models.archive import ExposureRecord

#: How long the service may take to begin its answer, and between its parts, in seconds.
TIMEOUT = 30


class Listing:
    """The search service's list of the images.

    :param url: the service's address.
    :param token: the token of this server.
    :param datasets: only images of these data sets; of all without it.
    """

    def __init__(self, url: str, token: str, datasets: Collection[str] = ()) -> None:
        self._url = f"{url.rstrip('/')}/api/images"
        self._token = token
        self._datasets = sorted(datasets)

    def __repr__(self) -> str:
        return "<the search service's list of images>"

    def find(self, wanted: Conditions) -> list[ExposureRecord]:
        """Return the images that fulfil the conditions, the earliest first.

        :raises ArchiveUnavailableError: where the service does not answer, or has more than it would list.
        """
        asked: dict[str, Any] = {"limit": MOST}
        if wanted.position is not None:
            asked["pos"] = f"{wanted.position.ra.deg:.12f},{wanted.position.dec.deg:.12f}"
        if wanted.radius is not None:
            asked["radius"] = f"{wanted.radius.deg:.12f}"
        if wanted.filters is not None:
            asked["filter"] = sorted(wanted.filters)
        if wanted.after is not None:
            asked["after"] = wanted.after.isoformat()
        if wanted.before is not None:
            asked["before"] = wanted.before.isoformat()
        if wanted.level is not None:
            asked["level"] = wanted.level
        return self._ask(asked)

    def named(self, name: str) -> ExposureRecord | None:
        """Return the image of that name, None where the service knows none; raises ArchiveUnavailableError."""
        return next(iter(self._ask({"name": name})), None)

    def _ask(self, asked: dict[str, Any]) -> list[ExposureRecord]:
        import requests

        try:
            answer = requests.get(
                self._url,
                params=asked | ({"dataset": self._datasets} if self._datasets else {}),
                headers={"Authorization": f"Bearer {self._token}"},
                timeout=TIMEOUT,
            )
            answer.raise_for_status()
            found = answer.json()
            if found["truncated"]:
                raise ArchiveUnavailableError(f"The archive's search lists {MOST:,} images at most.")
            fields = ExposureRecord.model_fields
            return [
                ExposureRecord.model_validate({key: one[key] for key in fields}, strict=False)
                for one in found["images"]
            ]
        except (requests.RequestException, ValidationError, ValueError, KeyError, TypeError):
            raise ArchiveUnavailableError("The archive's search does not answer as it should.") from None


def listing(datasets: Collection[str], environment: Mapping[str, str] | None = None) -> Listing | None:
    """Return the list of the platform's search service; None where this process knows of none."""
    environment = os.environ if environment is None else environment
    url, token = environment.get(SEARCH_VARIABLE), environment.get(TOKEN_VARIABLE)
    return Listing(url, token, datasets) if url and token else None
