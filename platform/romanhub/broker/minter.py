"""Short-lived keys by STS AssumeRole: of the local server and of AWS alike."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from romanhub.broker.settings import StorageSettings

#: What AWS allows as a session's name.
_SESSION = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")


class StorageUnavailableError(Exception):
    """The storage gave no keys; the text is for the log."""


@dataclass(frozen=True)
class Keys:
    """Keys that work until a moment."""

    access_key: SecretStr
    secret_key: SecretStr
    session_token: SecretStr
    expiration: datetime


class Minter(Protocol):
    """Makes keys."""

    def mint(self, person: str, policy: str) -> Keys:
        """Return new keys for a person, with the rights of a policy; raises StorageUnavailableError. It blocks."""


def session_name(person: str) -> str:
    """Return the name that a person's requests have in the storage's log: their own where AWS allows it.

    Where it does not, as much of it as can be and a digest, so that no two people share one.
    """
    if _SESSION.fullmatch(person) and "=" not in person:
        return person
    readable = re.sub(r"[^A-Za-z0-9_.@-]", "_", person)[:40]
    return f"{readable}={hashlib.sha256(person.encode()).hexdigest()[:16]}"


class RoleMinter:
    """Assumes the role of the settings, once for each set of keys."""

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        keys = (settings.access_key, settings.secret_key)
        self._client: Any = boto3.client(
            "sts",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=keys[0].get_secret_value() if keys[0] else None,
            aws_secret_access_key=keys[1].get_secret_value() if keys[1] else None,
            config=Config(
                connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
            ),
        )

    def mint(self, person: str, policy: str) -> Keys:
        """Return new keys for a person, with the rights of a policy; raises StorageUnavailableError."""
        try:
            answer = self._client.assume_role(
                RoleArn=self._settings.role,
                RoleSessionName=session_name(person),
                Policy=policy,
                DurationSeconds=self._settings.seconds,
            )
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailableError(str(error)) from None
        given = answer["Credentials"]
        return Keys(
            access_key=SecretStr(given["AccessKeyId"]),
            secret_key=SecretStr(given["SecretAccessKey"]),
            session_token=SecretStr(given["SessionToken"]),
            expiration=given["Expiration"],
        )
