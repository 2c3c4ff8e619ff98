"""The secrets of one machine's platform: made once, kept where only the platform may read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


def _token() -> str:
    return secrets.token_hex(32)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _signing_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


class Secrets(BaseModel):
    """Every secret that the parts share with each other; no user ever sees one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cookie: str = Field(default_factory=_token, description="Signs the hub's cookies.")
    sign_in: str = Field(default_factory=_token, description="Encrypts people's sign-in at rest.")
    proxy: str = Field(default_factory=_token, description="Lets the hub change the proxy's routes.")
    portal: str = Field(default_factory=_token, description="The portal's token at the hub.")
    gateway: str = Field(default_factory=_token, description="Dask Gateway's token at the hub.")
    broker: str = Field(default_factory=_token, description="The broker's token at the hub.")
    search: str = Field(default_factory=_token, description="The search service's token at the hub.")
    watch: str = Field(default_factory=_token, description="The watch's token at the hub.")
    probe: str = Field(default_factory=_token, description="The robot prober's token at the hub.")
    runner: str = Field(default_factory=_token, description="The token at the hub of what runs notebooks.")
    gateway_proxy: str = Field(default_factory=_token, description="Lets the gateway change its proxy's routes.")
    gateway_database: str = Field(
        default_factory=_fernet_key, description="Encrypts the clusters' credentials at rest ."
    )
    archive_operator: str = Field(default_factory=_token, description="Writes the archive.")
    archive_broker: str = Field(default_factory=_token, description="Assumes the role that short-lived keys have.")
    archive_community: str = Field(default_factory=_token, description="Writes the community's bucket.")
    archive_signing: str = Field(default_factory=_signing_key, description="Signs short-lived keys.")
    archive_internal: str = Field(default_factory=_token, description="Between the archive server's own parts.")


def load(path: Path) -> Secrets:
    """The secrets kept at the path. Parts only ever read them.

    Raises
    ------
    FileNotFoundError
        Where none have been made.
    """
    return Secrets.model_validate_json(path.read_text())


def make(path: Path) -> Secrets:
    """The secrets kept at the path, made where there are none; one that is new is added to the others."""
    before = path.read_text() if path.exists() else "{}"
    # One that no part uses any more is left out.
    kept = Secrets.model_validate({k: v for k, v in json.loads(before).items() if k in Secrets.model_fields})
    after = kept.model_dump_json(indent=2)
    if after != before:
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(after)
        temporary.replace(path)
    return kept
