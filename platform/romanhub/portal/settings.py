"""What the portal needs to know, read from its environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from romanhub.community.settings import CommunitySettings


class SettingsError(Exception):
    """The environment does not describe a portal; the message lists every variable at fault."""


class HubSettings(BaseModel):
    """Where the hub is and who the portal is to it: the variables that a hub sets for its services."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_token: SecretStr = Field(min_length=8, description="The service's own token on the hub.")
    api_url: str = Field(
        default="http://127.0.0.1:8081/hub/api",
        pattern=r"^https?://",
        description="The hub's API, as the portal reaches it.",
    )
    base_url: str = Field(default="/", description="The path under which the hub's proxy serves.")
    host: str = Field(
        default="",
        description="Scheme and host of the hub, set only where services have hosts of their own.",
    )
    service_name: str = Field(default="portal", min_length=1, description="The service's name on the hub.")
    prefix: str = Field(default="/services/portal/", description="The path under which the portal itself serves.")
    client_id: str = Field(default="service-portal", min_length=1, description="The OAuth client.")
    callback_url: str = Field(default="", description="The OAuth redirect URI; empty: under `prefix`.")
    access_scopes: frozenset[str] = Field(
        default=frozenset(), description="Any one of these scopes lets a person in; empty: access to the service."
    )
    admin_scope: str = Field(
        default="admin-ui",
        min_length=1,
        description="A scope of the hub's own that opens everything here, beside the custom ones of "
        "romanhub.portal.scopes. A browser's session holds those that are listed in the service's "
        "oauth_client_allowed_scopes.",
    )
    identity_seconds: float = Field(
        default=60, gt=0, le=600, description="How long the hub's word on a token is kept, in seconds."
    )
    deadline_seconds: float = Field(
        default=5, gt=0, le=60, description="How long to wait for the hub, in seconds."
    )

    @field_validator("base_url", "prefix")
    @classmethod
    def _ends_with_a_slash(cls, value: str) -> str:
        return "/" + value.strip("/") + "/" if value.strip("/") else "/"

    @property
    def redirect_uri(self) -> str:
        """The OAuth redirect URI, as the hub knows it."""
        return self.callback_url or f"{self.prefix}oauth_callback"

    @property
    def callback_path(self) -> str:
        """The path of the redirect URI, which the portal serves.

        An external service behind the hub's proxy may be told the whole URL; its path is what arrives.
        """
        return urlsplit(self.redirect_uri).path

    @property
    def allowed_scopes(self) -> frozenset[str]:
        """The scopes of which one must be held to use the portal at all.

        A scope without a filter covers the same scope with one: whoever may use every service holds
        `access:services`, and the hub then does not name this one.
        """
        named = self.access_scopes or {f"access:services!service={self.service_name}"}
        return frozenset(named) | {scope.partition("!")[0] for scope in named}

    def page(self, path: str) -> str:
        """The address of one of the hub's own pages, such as `home`, for a link."""
        return f"{self.host}{self.base_url}hub/{path}"

    def path(self, *parts: str) -> str:
        """The path of one of the portal's own pages; a part may be any text."""
        return self.prefix + "/".join(quote(part, safe="/@") for part in parts)


class PortalSettings(BaseModel):
    """Everything that one portal process is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hub: HubSettings
    database_url: SecretStr = Field(min_length=1, description="The ledger's database.")
    tiers_file: str = Field(min_length=1, description="The file of tiers.")
    purge_file: str | None = Field(
        default=None, description="The purge's settings file; None where nothing is purged."
    )
    search_url: str | None = Field(
        default=None, pattern=r"^https?://", description="The archive's search service; None where there is none."
    )
    broker_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="The credential broker, for previews of images; None where there is none.",
    )
    viewer: str | None = Field(
        default=None,
        description="The file aladin.js of the npm package aladin-lite, which shows the sky; None shows the table "
        "alone.",
    )
    community: CommunitySettings | None = Field(
        default=None, description="The community's catalogue; None where there is none."
    )
    community_seconds: float = Field(
        default=150,
        gt=0,
        le=600,
        description="How long one question to the community's catalogue may take, in seconds. Looking into a "
        "notebook takes seconds, and waits for others.",
    )
    runs_file: str | None = Field(
        default=None, description="The settings of what runs notebooks; None for those that hold without one."
    )
    ledger_deadline_seconds: float = Field(
        default=10, gt=0, le=60, description="How long a page waits for the ledger, in seconds."
    )
    what_if_seconds: float = Field(
        default=20, gt=0, le=300, description="How long the page of another tiers file may compute, in seconds."
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> PortalSettings:
        """Settings from `environ`; raises SettingsError naming every variable that is missing or wrong.

        A variable that is set to the empty string counts as not set.
        """
        values = _collect(_PLACES, environ)
        if "access_scopes" in values.get("hub", {}):
            values["hub"]["access_scopes"] = _scopes(values["hub"]["access_scopes"])
        values.setdefault("hub", {})
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


#: Which environment variable fills which field.
_PLACES: dict[tuple[str, ...], str] = {
    ("hub", "api_token"): "JUPYTERHUB_API_TOKEN",
    ("hub", "api_url"): "JUPYTERHUB_API_URL",
    ("hub", "base_url"): "JUPYTERHUB_BASE_URL",
    ("hub", "host"): "JUPYTERHUB_HOST",
    ("hub", "service_name"): "JUPYTERHUB_SERVICE_NAME",
    ("hub", "prefix"): "JUPYTERHUB_SERVICE_PREFIX",
    ("hub", "client_id"): "JUPYTERHUB_CLIENT_ID",
    ("hub", "callback_url"): "JUPYTERHUB_OAUTH_CALLBACK_URL",
    ("hub", "access_scopes"): "JUPYTERHUB_OAUTH_ACCESS_SCOPES",
    ("hub", "admin_scope"): "ROMANHUB_PORTAL_ADMIN_SCOPE",
    ("hub", "identity_seconds"): "ROMANHUB_PORTAL_IDENTITY_SECONDS",
    ("hub", "deadline_seconds"): "ROMANHUB_PORTAL_HUB_DEADLINE_SECONDS",
    ("database_url",): "HUBQUOTA_DATABASE_URL",
    ("tiers_file",): "HUBQUOTA_TIERS",
    ("purge_file",): "HUBQUOTA_PURGE",
    ("search_url",): "ROMANHUB_SEARCH_URL",
    ("broker_url",): "ROMANHUB_BROKER_URL",
    ("viewer",): "ROMANHUB_SKY_VIEWER",
    **{("community", name): f"ROMANHUB_COMMUNITY_{name.upper()}" for name in CommunitySettings.model_fields},
    ("runs_file",): "ROMANHUB_RUNS",
    ("community_seconds",): "ROMANHUB_PORTAL_COMMUNITY_SECONDS",
    ("what_if_seconds",): "ROMANHUB_PORTAL_WHAT_IF_SECONDS",
    ("ledger_deadline_seconds",): "ROMANHUB_PORTAL_LEDGER_DEADLINE_SECONDS",
}


def _collect(places: Mapping[tuple[str, ...], str], environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for place, variable in places.items():
        if environ.get(variable):
            within = values
            for key in place[:-1]:
                within = within.setdefault(key, {})
            within[place[-1]] = environ[variable]
    return values


def _scopes(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # the model refuses it, and the message names the variable


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        place = tuple(str(part) for part in problem["loc"])
        variable = next((_PLACES[place[:n]] for n in range(len(place), 0, -1) if place[:n] in _PLACES), None)
        said = "is not set" if problem["type"] == "missing" else problem["msg"]
        lines.append(f"{variable or '.'.join(place)}: {said}")
    return "The portal cannot start with this environment:\n  " + "\n  ".join(lines)
