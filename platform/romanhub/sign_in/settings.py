"""Which way to sign in this deployment has: local accounts, unless a file of settings says otherwise."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from romanhub.local.environments import SetupError

#: Names the file of settings.
VARIABLE = "ROMANHUB_SIGN_IN"


class OidcSettings(BaseModel):
    """What a deployment says of its OpenID Connect provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: HttpUrl = Field(description="The provider's issuer URL; its addresses are discovered from it.")
    name: str = Field(
        default="your institution", min_length=1, description="The provider's name, on the sign-in button."
    )
    client_id: str = Field(min_length=1, description="The client that the provider registered for this platform.")
    client_secret: SecretStr = Field(min_length=1, description="That client's secret.")
    client_auth: Literal["client_secret_basic", "client_secret_post"] | None = Field(
        default=None,
        description="How the provider takes the secret. Left out, as it says: the first, where it takes both.",
    )
    callback_url: HttpUrl = Field(description="…/hub/oauth_callback on this platform, as registered.")
    after_sign_out: HttpUrl | None = Field(
        default=None,
        description="Where the provider sends people who have signed out. It has to be registered there. "
        "Left out, they stay on the provider's page.",
    )
    scopes: list[str] = Field(
        default=["openid", "profile", "email"], description="What the platform asks the provider for."
    )
    username_claim: str = Field(
        default="preferred_username",
        min_length=1,
        description="The claim that becomes the user's name, at their first sign-in.",
    )
    groups_claim: str | None = Field(
        default=None,
        min_length=1,
        description="The claim that lists the user's groups, which choose the first tier.",
    )
    allowed_groups: list[str] = Field(
        default=[],
        description="Only members of these groups may sign in. Empty: everybody whom the provider knows.",
    )
    admin_groups: list[str] = Field(
        default=[], description="Members of these groups are administrators, and may sign in."
    )
    confirm_within_hours: int = Field(
        default=72,
        ge=1,
        description="For how many hours tokens work after the provider last confirmed their owner.",
    )
    replaces: list[str] = Field(
        default=[],
        description="Issuers that this one took the place of: their accounts are this one's, by user name.",
    )
    ask: str = Field(
        default="To ask for access, write to the people who run this platform.",
        description="A sentence that says how to ask for access; it ends refusals.",
    )

    @field_validator("issuer")
    @classmethod
    def _issuer_is_private(cls, issuer: HttpUrl) -> HttpUrl:
        if not is_private(str(issuer)):
            raise ValueError(
                f"{issuer} is not https, so passwords would travel in the clear. Use its https address"
            )
        return issuer

    @field_validator("callback_url")
    @classmethod
    def _callback_is_the_hubs(cls, callback: HttpUrl) -> HttpUrl:
        if not (callback.path or "").endswith("/hub/oauth_callback"):
            raise ValueError(
                "this has to end with /hub/oauth_callback, as https://my.example.org/hub/oauth_callback"
            )
        return callback

    @field_validator("scopes")
    @classmethod
    def _scopes_have_openid(cls, scopes: list[str]) -> list[str]:
        if "openid" not in scopes:
            raise ValueError("openid has to be among them, or the provider does not say who signs in")
        return scopes

    @model_validator(mode="after")
    def _groups_come_from_a_claim(self) -> OidcSettings:
        if (self.allowed_groups or self.admin_groups) and not self.groups_claim:
            raise ValueError("allowed_groups and admin_groups need groups_claim, the claim that lists the groups")
        return self


def load_sign_in(environment: Mapping[str, str] = os.environ) -> OidcSettings | None:
    """The OpenID Connect settings in the YAML file that `ROMANHUB_SIGN_IN` names; None for local accounts.

    Parameters
    ----------
    environment
        Where the variable is looked for.

    Raises
    ------
    SetupError
        Where the file is not there or is not right: a line for each mistake, with the key and what is allowed.
        No line shows what the file has, since that could be the secret.
    """
    given = environment.get(VARIABLE)
    if not given:
        return None
    try:
        return OidcSettings.model_validate(yaml.safe_load(Path(given).read_text(encoding="utf-8")))
    except OSError as error:
        raise SetupError(f"{VARIABLE} names {given}, which cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SetupError(f"{VARIABLE} names {given}, which is not text in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        where = f"{given}:{error.problem_mark.line + 1}" if error.problem_mark else given
        raise SetupError(f"{where}: this is not YAML: {_yaml_problem(error)}.") from None
    except yaml.YAMLError:
        raise SetupError(f"{given} is not YAML: it has a character that YAML does not allow.") from None
    except ValidationError as error:
        lines = [_line(str(found["type"]), found["loc"], found["msg"]) for found in error.errors()]
        raise SetupError("\n".join(f"{given}: {line}" for line in lines)) from None


def is_private(address: str) -> bool:
    """Whether nobody on the way reads what is sent to an address: it is https, or on this very machine."""
    parts = urlsplit(address)
    if parts.scheme != "http":
        return parts.scheme == "https"
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _yaml_problem(error: yaml.MarkedYAMLError) -> str:
    """What is wrong with the YAML. What is said of an alias or a tag quotes it, and it may be the secret."""
    if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError) and "tag" not in str(error.problem):
        return str(error.problem)
    return "a value that starts with * & or ! has to be in quotes"


def _line(kind: str, location: tuple[int | str, ...], message: str) -> str:
    """One mistake as a line, with what is allowed."""
    key = ".".join(map(str, location))
    match kind:
        case "missing":
            return f"{key}: this key is missing. {OidcSettings.model_fields[key].description}"
        case "extra_forbidden":
            return f"{key}: there is no such key. There are {', '.join(OidcSettings.model_fields)}."
        case "model_type":
            return f"this has to be keys and values, with {', '.join(OidcSettings.model_fields)}."
        case _:
            what = message.removeprefix("Value error, ").rstrip(".")
            return f"{key}: {what}." if key else f"{what}."
