"""Sign-in through an institution's OpenID Connect provider: find the provider, and configure the hub for it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from romanhub.local.environments import SetupError
from romanhub.sign_in.settings import OidcSettings, is_private

#: How long the hub waits for the provider, in seconds: for a connection, and for a whole answer.
CONNECT_PATIENCE, ANSWER_PATIENCE = 5.0, 15.0


class SignInError(SetupError):
    """The provider cannot be used as configured; the text is one line that says why and what to do."""


class Discovery(BaseModel):
    """The part of the provider's discovery document that sign-in uses (OpenID Connect Discovery 1.0, §3)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    end_session_endpoint: str | None = None
    # Where it is left out it means this one method (§3).
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]


def discover(settings: OidcSettings, client: httpx.Client) -> Discovery:
    """Ask the provider for its addresses.

    Parameters
    ----------
    settings
        What the deployment says.
    client
        Asks.

    Raises
    ------
    SignInError
        Where it does not answer, answers with something else, names another issuer, or has an address that is
        not https.
    """
    issuer = str(settings.issuer).rstrip("/")
    address = f"{issuer}/.well-known/openid-configuration"
    advice = "Check the issuer, and that this machine can reach it."
    try:
        answer = client.get(address)
    except httpx.HTTPError as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise SignInError(f"The OpenID provider does not answer: {address}: {why}. {advice}") from None
    if answer.status_code != HTTPStatus.OK:
        said = f"{answer.status_code} {answer.reason_phrase}".strip()
        raise SignInError(f"The OpenID provider does not say where to sign in: {address} answers {said}. {advice}")
    try:
        found = Discovery.model_validate_json(answer.content)
    except ValidationError as error:
        wrong = ", ".join(str(problem["loc"][0]) for problem in error.errors() if problem["loc"])
        what = f"with nothing usable for {wrong}" if wrong else "with something else"
        raise SignInError(f"{address} answers, but {what}: no OpenID provider speaks there. {advice}") from None
    # §4.3: the issuer in the document must be the one that was asked, or another party answered.
    if found.issuer.rstrip("/") != issuer:
        raise SignInError(f"{address} speaks for {found.issuer}, not for {issuer}. Set issuer to what it says.")
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "end_session_endpoint"):
        endpoint = getattr(found, name)
        if endpoint and not is_private(endpoint):
            raise SignInError(f"{address} gives {endpoint} as {name}, which is not https. It has to be.")
    if not _client_auth(settings, found):
        methods = ", ".join(found.token_endpoint_auth_methods_supported)
        raise SignInError(
            f"{address} takes a client's secret by {methods}, and the platform sends it by client_secret_basic or "
            "client_secret_post. Have the provider accept one of these, and set client_auth to it."
        )
    return found


def configure(config: Any, settings: OidcSettings, found: Discovery) -> None:
    """Set the hub's configuration so that people sign in through the provider.

    The provider's tokens are kept, encrypted, with each user: without them the hub could not ask again who the
    person is, and groups and rights would stay those of the last sign-in.

    Parameters
    ----------
    config
        The hub's traitlets configuration (`c` in a configuration file). A key to encrypt the tokens with has to
        be there already, or in the environment.
    settings
        What the deployment says.
    found
        What the provider says.

    Raises
    ------
    SignInError
        Where there is no key to encrypt with.
    """
    # The hub's own libraries, which the command line that reads the settings first can do without.
    from romanhub.sign_in.institution import InstitutionAuthenticator

    _require_key(config)
    config.JupyterHub.authenticator_class = InstitutionAuthenticator
    authenticator = config.InstitutionAuthenticator
    authenticator.login_service = settings.name
    authenticator.ask = settings.ask
    authenticator.issuer = found.issuer
    authenticator.replaces = set(settings.replaces)
    authenticator.client_id = settings.client_id
    authenticator.client_secret = settings.client_secret.get_secret_value()
    authenticator.basic_auth = _client_auth(settings, found) == "client_secret_basic"
    authenticator.oauth_callback_url = str(settings.callback_url)
    authenticator.authorize_url = found.authorization_endpoint
    authenticator.token_url = found.token_endpoint
    authenticator.userdata_url = found.userinfo_endpoint
    authenticator.scope = settings.scopes
    authenticator.username_claim = settings.username_claim
    authenticator.enable_pkce = True
    authenticator.http_request_kwargs = {"connect_timeout": CONNECT_PATIENCE, "request_timeout": ANSWER_PATIENCE}
    authenticator.logout_redirect_url = _sign_out_address(settings, found)
    authenticator.enable_auth_state = True
    # A provider's token lasts an hour or so, and a night's work longer.
    authenticator.confirm_within = settings.confirm_within_hours * 3600
    authenticator.allow_all = not settings.allowed_groups
    if settings.groups_claim:
        authenticator.groups_claim = settings.groups_claim
        authenticator.manage_groups = True
        authenticator.allowed_groups = set(settings.allowed_groups)
        authenticator.admin_groups = set(settings.admin_groups)
        authenticator.custom_403_message = (
            f"You have signed in at {settings.name}, but this platform is for members of "
            f"{' or '.join(settings.allowed_groups)} only. {settings.ask}"
        )


def _require_key(config: Any) -> None:
    """The hub keeps the provider's tokens only where it can encrypt them."""
    from jupyterhub.crypto import CryptKeeper, EncryptionUnavailable
    from traitlets import TraitError

    try:
        CryptKeeper(config=config).check_available()
    except (EncryptionUnavailable, TraitError, ValueError) as error:
        raise SignInError(
            f"The hub keeps people's sign-in encrypted, and has no key that it can use for it: {error} Set "
            "JUPYTERHUB_CRYPT_KEY to 32 random bytes in hex, the same at every start (openssl rand -hex 32)."
        ) from None


def _client_auth(settings: OidcSettings, found: Discovery) -> str | None:
    """How the client's secret is sent; None where the provider takes it in no way that the platform knows."""
    if settings.client_auth:
        return settings.client_auth
    for method in ("client_secret_basic", "client_secret_post"):
        if method in found.token_endpoint_auth_methods_supported:
            return method
    return None


def _sign_out_address(settings: OidcSettings, found: Discovery) -> str:
    """Where signing out leads (OpenID Connect RP-Initiated Logout 1.0, §2), or nowhere beyond the hub."""
    if not found.end_session_endpoint:
        return ""
    parameters = {"client_id": settings.client_id}
    if settings.after_sign_out:
        parameters["post_logout_redirect_uri"] = str(settings.after_sign_out)
    return str(httpx.URL(found.end_session_endpoint).copy_merge_params(parameters))
