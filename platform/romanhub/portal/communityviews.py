"""What the community's pages show beyond what the catalogue says: addresses, passes, stand-ins for pictures."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlencode

from fastapi import Request
from hubquota.models.tiers import Tiers

from romanhub.models.community import FILE_NAME, Kind, State
from romanhub.models.entries import Card, Entry, Version
from romanhub.portal.auth import Doorkeeper, NotAllowedError, Visitor
from romanhub.portal.headers import PAGE_POLICY
from romanhub.portal.settings import HubSettings

#: Pages with a notebook on them have a frame; what is in it has a policy of its own, and no session.
FRAMED_POLICY = PAGE_POLICY.replace("img-src 'self';", "img-src 'self'; frame-src 'self';")

#: A stand-in has so many stars, on so many pixels.
_STARS, _WIDTH, _HEIGHT = 20, 320, 180


@dataclass(frozen=True)
class Subject:
    """What a pass of the community's opens: one version, as somebody may see it."""

    entry: str
    number: int
    viewer: str

    def text(self) -> str:
        """Return it as the text of a pass."""
        return json.dumps({"entry": self.entry, "number": self.number, "viewer": self.viewer})

    @classmethod
    def of(cls, text: str) -> Subject:
        """Return what a pass's text says; raises NotAllowedError for a pass to something else."""
        try:
            found = json.loads(text)
            return cls(str(found["entry"]), int(found["number"]), str(found["viewer"]))
        except (ValueError, KeyError, TypeError):
            raise NotAllowedError("This address is of something else. Load its page again.") from None


class Addresses:
    """Addresses on the pages of one visitor."""

    def __init__(self, settings: HubSettings, doorkeeper: Doorkeeper, request: Request, visitor: Visitor) -> None:
        """Make addresses for whoever sends a request.

        Args:
            settings: where the portal is.
            doorkeeper: makes passes.
            request: a browser's, with its session.
            visitor: who sends it.
        """
        self._settings, self._doorkeeper = settings, doorkeeper
        self._request, self._visitor = request, visitor

    def frame(self, version: Version) -> str:
        """Return the address of a notebook as a page, which needs no session."""
        return self._passed("page", version.entry, version.number)

    def picture(self, card: Card | Version) -> str:
        """Return the address of a card's picture; empty where there is none."""
        if card.picture is None:
            return ""
        if isinstance(card, Version):
            return self._passed("picture", card.entry, card.number)
        return self._passed("picture", card.name, card.version)

    def _passed(self, what: str, entry: str, number: int) -> str:
        given = self._doorkeeper.pass_for(self._request, Subject(entry, number, self._visitor.name).text())
        return f"{self._settings.prefix}community/-/{what}?{urlencode({'pass': given})}"

    def public(self, version: Version) -> str:
        """Return the address of a version's page, for bibliographies."""
        return f"{self._host()}{self._settings.path('community', version.entry)}?version={version.number}"

    def opening(self, entry: Entry) -> str:
        """Return the address that opens a copy of an entry, for papers and mails."""
        return f"{self._host()}{self._settings.path('open', entry.name)}"

    def _host(self) -> str:
        forwarded = self._request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
        return self._settings.host or f"{forwarded or self._request.url.scheme}://{self._request.url.netloc}"


def copy_address(settings: HubSettings, tiers: Tiers, version: Version) -> str:
    """Return the address that writes a copy into the home of whoever follows it, in their server.

    Where none runs, the hub asks for a size first; the size of the smallest tier that the entry needs is chosen on
    that form.
    """
    query = {"entry": version.entry, "version": str(version.number)}
    tier = tiers.tiers.get(str(version.sidecar.get("tier", "")))
    if tier is not None:
        query["size"] = tier.default_size
    return f"{settings.page('user-redirect/romanhub/copy')}?{urlencode(query)}"


def can_be_copied(entry: Entry) -> bool:
    """Whether there is something to open in a server."""
    return entry.kind is Kind.NOTEBOOK and entry.newest is not None and entry.state is not State.WITHDRAWN


def file_name(version: Version) -> str:
    """Return what a version's file is called: as its author called it, where that is a name for a notebook."""
    name = version.details.get("file")
    return name if isinstance(name, str) and re.fullmatch(FILE_NAME, name) else f"{version.entry}.ipynb"


def stand_in(name: str) -> list[tuple[int, int, float]]:
    """Return stars for the picture of an entry without one: place and radius in pixels, always the same."""
    digest = sha256(name.encode()).digest() * 2
    return [
        (
            digest[3 * n] * _WIDTH // 256,
            digest[3 * n + 1] * _HEIGHT // 256,
            1 + (digest[3 * n + 2] % 64) ** 2 / 900,
        )
        for n in range(_STARS)
    ]
