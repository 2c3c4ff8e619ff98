"""Sessions of AWS's libraries whose keys come from the platform's broker."""

from __future__ import annotations

import asyncio

from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import AioSession

from romanhub.client.credentials import CredentialSource


class RenewedSession(AioSession):  # type: ignore[misc]  # aiobotocore has no types
    """A session for s3fs and aiobotocore that renews its keys before their end.

    :param keys: where keys come from; asked now for the first time.
    """

    def __init__(self, keys: CredentialSource) -> None:
        super().__init__()
        self._keys = keys
        # What the libraries would find by themselves would be asked of the broker by a process of its own.
        self._credentials = AioRefreshableCredentials.create_from_metadata(
            keys.metadata(), refresh_using=self._refresh, method="romanhub"
        )

    def __reduce__(self) -> tuple[type[RenewedSession], tuple[CredentialSource]]:
        return type(self), (self._keys,)

    async def _refresh(self) -> dict[str, str]:
        # It may ask the broker, which the loop of the reads need not wait for.
        return await asyncio.to_thread(self._keys.metadata)
