"""Keys for the storage, fetched and renewed without anybody noticing.

They come from the platform's broker, in exchange for the server's or the worker's own token, and work for an
hour at most. They are in the memory of the process that fetched them and nowhere else: what is pickled for a
Dask worker has none, and the worker fetches its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urljoin

import httpx
from pydantic import SecretStr, TypeAdapter, ValidationError

from romanhub.client.credential_process import BROKER_VARIABLE, TIMEOUT, TOKEN_VARIABLE, WORKER_TOKEN_VARIABLE
from romanhub.client.errors import ArchiveUnavailableError, NotAllowedError, OutsidePlatformError
from romanhub.models.credentials import Credentials
from romanhub.models.products import Product
from romanhub.models.usage import UsageReceipt, UsageReport

#: Keys are renewed so long before their end; of shorter ones, when a sixth of their life is left.
RENEW = timedelta(minutes=10)

#: Where the broker does not answer, it is asked again after so long, while the keys still work.
PAUSE = timedelta(seconds=30)

_PRODUCTS = TypeAdapter(dict[str, Product])

_NOT_UNDERSTOOD = (
    "The platform's broker gave an answer that this server does not understand. Restart your server, which "
    "brings its "
    "software up to date; if it happens again, please tell the platform's operators."
)


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


class CredentialSource:
    """Gives keys that work. Threads may share it; each process has its own.

    :param url: the broker's address.
    :param token: a hub token that may use the broker.
    :param product: a data product of the community that its keys open, and nothing else; without it, all data sets
        and the scratch of whoever the token is of.
    :param scratch: keys that open their scratch alone.
    :param transport: how requests are sent; the network unless a test says otherwise.
    :param now: returns the time now.
    """

    def __init__(
        self,
        url: str,
        token: SecretStr,
        *,
        product: str = "",
        scratch: bool = False,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._product = product
        self._query: dict[str, str] = {"dataset": product, "scratch": "false"} if product else {}
        if scratch:
            self._query = {"dataset": ""}
        self._url = url if url.endswith("/") else f"{url}/"
        self._token, self._transport, self._now = token, transport, now
        self._lock = threading.Lock()
        self._kept: Credentials | None = None
        self._renew_at: datetime | None = None

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, *, product: str = ""
    ) -> CredentialSource:
        """Return the source that the environment of a server or a worker names.

        Raises OutsidePlatformError where it is not that of a server or a worker of the platform.
        """
        environment = os.environ if environment is None else environment
        url = environment.get(BROKER_VARIABLE)
        token = environment.get(WORKER_TOKEN_VARIABLE) or environment.get(TOKEN_VARIABLE)
        if not url or not token:
            raise OutsidePlatformError(
                "This code does not run in a server or a Dask worker of the platform, so there is no data to "
                "reach. Start a server on the platform and run it in a notebook there."
            )
        return cls(url, SecretStr(token), product=product)

    def __repr__(self) -> str:
        return "<keys for the platform's storage>"

    def __reduce__(self) -> tuple[Callable[..., CredentialSource], tuple[str, ...]]:
        # Neither the token nor the keys travel: the process that it comes to has its own.
        return source, (self._product,) if self._product else ()

    def current(self, *, refused: Credentials | None = None) -> Credentials:
        """Return keys that work, fetched or renewed where needed.

        :param refused: keys that the storage refused: where they are those that are kept, new ones are fetched.
        :raises NotAllowedError: the broker gives none, and says why.
        :raises ArchiveUnavailableError: the broker does not answer, and there are none that still work.
        """
        kept = self._kept
        if (
            kept is not None
            and kept is not refused
            and self._renew_at is not None
            and self._now() < self._renew_at
        ):
            return kept
        with self._lock:
            # Whoever waited for the lock finds what another thread has fetched meanwhile.
            kept = self._kept
            if kept is not None and kept is not refused and self._renew_at and self._now() < self._renew_at:
                return kept
            try:
                return self._fetch(fresh=kept is not None and kept is refused)
            except ArchiveUnavailableError:
                if kept is None or kept is refused or kept.expiration <= self._now():
                    raise
                self._renew_at = self._now() + PAUSE
                return kept

    def __call__(self) -> dict[str, Any]:
        """Return keys as obstore asks a `credential_provider` for them."""
        keys = self.current()
        return {
            "access_key_id": keys.access_key.get_secret_value(),
            "secret_access_key": keys.secret_key.get_secret_value(),
            "token": keys.session_token.get_secret_value(),
            "expires_at": keys.expiration,
        }

    def metadata(self) -> dict[str, str]:
        """Return keys as botocore's refreshable credentials take them."""
        keys = self.current()
        return {
            "access_key": keys.access_key.get_secret_value(),
            "secret_key": keys.secret_key.get_secret_value(),
            "token": keys.session_token.get_secret_value(),
            "expiry_time": keys.expiration.isoformat(),
        }

    def report(self, report: UsageReport) -> bool:
        """Tell the platform what was read; return whether it was counted now.

        :raises ArchiveUnavailableError: the broker does not answer; the same report may be sent again.
        :raises NotAllowedError: the broker does not take it.
        """
        answer = self._ask("POST", "api/usage", content=report.model_dump_json())
        return UsageReceipt.model_validate_json(answer.content).counted

    def again(self) -> Credentials:
        """Return keys as the broker has them now; raises what `current` raises."""
        with self._lock:
            return self._fetch(fresh=False)

    def products(self) -> dict[str, Product]:
        """Return the community's data products, by name; raises what `current` raises."""
        try:
            return _PRODUCTS.validate_json(self._ask("GET", "api/products").content)
        except ValidationError:
            raise ArchiveUnavailableError(_NOT_UNDERSTOOD) from None

    def _fetch(self, *, fresh: bool) -> Credentials:
        asked = self._now()
        # What is got is what the broker has; what is posted for is made anew.
        answer = self._ask("POST" if fresh else "GET", "api/credentials", query=self._query)
        try:
            keys = Credentials.model_validate_json(answer.content)
        except ValidationError:
            raise ArchiveUnavailableError(_NOT_UNDERSTOOD) from None
        left = keys.expiration - asked
        self._kept = keys
        self._renew_at = keys.expiration - min(RENEW, left / 6)
        return keys

    def _ask(
        self, method: str, path: str, content: str | None = None, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token.get_secret_value()}", "Content-Type": "application/json"}
        try:
            # The broker is the platform's own: no proxy that the environment names for the outside is on the way.
            with httpx.Client(transport=self._transport, timeout=TIMEOUT, trust_env=False) as client:
                answer = client.request(
                    method, urljoin(self._url, path), params=query or None, headers=headers, content=content
                )
        except httpx.HTTPError:
            raise ArchiveUnavailableError(
                "The platform's broker, which gives out the keys for the data, does not answer. Wait a minute and "
                "run the cell again; if it happens again, please tell the platform's operators."
            ) from None
        if answer.status_code in (401, 403, 422):
            raise NotAllowedError(_detail(answer))
        if answer.status_code != 200:
            raise ArchiveUnavailableError(_detail(answer))
        return answer


@cache
def source(product: str = "") -> CredentialSource:
    """Return this process's source of keys, for a data product where one is named; raises OutsidePlatformError."""
    return CredentialSource.from_environment(product=product)


def _detail(answer: httpx.Response) -> str:
    """Return why there are no keys, in the broker's own words if it used any (RFC 9457)."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = None
    if isinstance(detail, str) and detail:
        return detail
    return f"The platform's broker could not answer (HTTP status {answer.status_code}). Try again in a minute."
