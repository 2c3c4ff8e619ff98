"""The hub's authenticator for an institution's OpenID Connect provider.

oauthenticator speaks the protocol. What is added here is what a platform with people's homes and budgets needs
beside it: an account at the provider is known by its issuer and subject, and never by a name that another
account could come to have; a provider that does not answer stops nobody who is signed in; and every refusal
says why, in words for the person who reads it.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
import time
from collections.abc import Callable
from functools import reduce
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus

import jwt
from jupyterhub import orm
from oauthenticator.generic import GenericOAuthenticator  # type: ignore[import-untyped]
from oauthenticator.oauth2 import OAuthCallbackHandler  # type: ignore[import-untyped]
from sqlalchemy import Text, column
from tornado import web
from tornado.httpclient import HTTPClientError
from traitlets import Integer, Set, Unicode

#: What a user name may be, in small letters: it is a part of addresses, and names a folder, a volume and a pod.
USER_NAME = re.compile(r"[a-z0-9][a-z0-9._+@'-]{0,99}")

#: The same in words.
USER_NAME_RULE = (
    "a user name here starts with a letter or digit and has up to 100 letters without accents, digits "
    "and the characters . _ + @ ' -"
)

#: How far the provider's clock may be from ours, in seconds.
CLOCK_LEEWAY = 60


class ProviderDown(web.HTTPError):
    """The provider did not answer, or not with what the protocol has there."""


class CallbackHandler(OAuthCallbackHandler):  # type: ignore[misc]
    """Where the provider sends people back to."""

    @property
    def extra_error_html(self) -> str:
        """What an error page ends with: the ways on from here."""
        base = html.escape(self.hub.base_url)
        again = f'<a href="{base}login">Sign in again</a>'
        if not self.authenticator.logout_redirect_url:
            return again
        provider = html.escape(self.authenticator.login_service)
        return f'{again}, or <a href="{base}logout">sign out of {provider}</a> to use another account.'

    def check_state(self) -> None:
        """Check that this browser started this sign-in.

        Raises
        ------
        tornado.web.HTTPError
            400 where it did not.
        """
        try:
            super().check_state()
        except web.HTTPError:
            raise refusal(
                400, "This sign-in was not started in this browser, or too long ago. It may help to allow cookies."
            ) from None


class InstitutionAuthenticator(GenericOAuthenticator):  # type: ignore[misc]
    """Signs people in through an institution's OpenID Connect provider.

    Parameters
    ----------
    clock
        The time in seconds since the epoch.
    """

    callback_handler = CallbackHandler

    issuer = Unicode(config=True, help="The provider's issuer, exactly as it gives it.")

    replaces = Set(
        Unicode(),
        config=True,
        help="Issuers that this one took the place of. Their accounts are this one's, by user name.",
    )

    groups_claim = Unicode(
        config=True,
        help="The claim that lists a person's groups; dots lead into nested claims unless it is there as it is.",
    )

    ask = Unicode(config=True, help="A sentence that says how to ask for access; it ends refusals.")

    confirm_within = Integer(
        72 * 3600,
        config=True,
        help="For how long a person's tokens work after the provider last confirmed the person, in seconds.",
    )

    def __init__(self, clock: Callable[[], float] = time.time, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._clock = clock
        self._refreshing: dict[str, asyncio.Future[Any]] = {}

    # Signing in

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Exchange the provider's code for who the person is.

        Returns
        -------
        dict
            The hub's model of the person. Its name is the one that this account at the provider had here first,
            so that a person who is renamed at the institution keeps their home and budget.

        Raises
        ------
        tornado.web.HTTPError
            403 where the account cannot be used here, 502 where the provider refuses the exchange, 503 where it
            does not answer.
        """
        try:
            model: dict[str, Any] = await super().authenticate(handler, data, **kwargs)
        except HTTPClientError as error:
            # What the provider said is in the log already, from where it was asked.
            raise refusal(
                502,
                f"{self.login_service} did not complete the sign-in: {_reason(error)}. Start again, and if that "
                "does not help, tell the people who run this platform.",
            ) from None
        kept = self._name_of(handler.db, self._subject(model))
        if kept and kept != model["name"]:
            self.log.info("%s is now %s at the provider, and keeps the name here.", kept, model["name"])
            model["name"] = kept
        model["admin"] = self._administrator(model["name"], model)
        return model

    async def run_post_auth_hook(self, handler: Any, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Give the person the user name, once everything else about them is accepted.

        Raises
        ------
        tornado.web.HTTPError
            403 where the name is somebody else's.
        """
        model: dict[str, Any] = await super().run_post_auth_hook(handler, auth_model)
        model["user_info"] = self._take_name(handler, model)
        return model

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """The user name in the provider's answer.

        Raises
        ------
        tornado.web.HTTPError
            403 where there is none, or none that can be used.
        """
        name = user_info.get(self.username_claim)
        if not isinstance(name, str) or not name:
            raise refusal(
                403,
                f"{self.login_service} did not say your user name (the claim {self.username_claim!r}). "
                "The people who run this platform have to ask it for a scope that has it, or choose another.",
            )
        if self.username_claim == "email" and user_info.get("email_verified") is False:
            raise refusal(
                403,
                f"{self.login_service} has not verified your e-mail address. Verify it there and sign in again.",
            )
        # Before small letters are made, in which some letters outside ASCII become letters of ASCII.
        if not name.isascii() or not USER_NAME.fullmatch(name.lower()):
            raise refusal(
                403,
                f"Your user name at {self.login_service} is {name[:100]!r}, which this platform cannot use: "
                f"{USER_NAME_RULE}. {self.ask}",
            )
        return name

    def _subject(self, model: dict[str, Any]) -> str:
        """The provider's identifier of the account, never given to another (OpenID Connect Core 1.0, §2)."""
        subject = model["auth_state"][self.user_auth_state_key].get("sub")
        if not isinstance(subject, str) or not subject:
            raise refusal(502, f"{self.login_service} did not say which account this is (the claim 'sub').")
        return subject

    def _name_of(self, database: Any, subject: str) -> str | None:
        """The user name that an account at the provider has here, or None where it has none yet."""
        # The hub keeps it as JSON in a column of text: let the database find the few that can be meant.
        written = json.dumps(subject)[1:-1]
        meant = column("user_info", Text).contains(written, autoescape=True)
        for user in database.query(orm.User).filter(meant):
            info = user.user_info
            if info.get("issuer") == self.issuer and info.get("subject") == subject:
                return str(user.name)
        return None

    def _take_name(self, handler: Any, model: dict[str, Any]) -> dict[str, str]:
        """Make the user name this account's, for good; returns what the hub keeps about it.

        There is no `await` between the look and the change, and the hub is one process: of two accounts that
        sign in with the same name at the same moment, one gets it.
        """
        name, subject = model["name"], self._subject(model)
        user = handler.find_user(name)
        if user is not None and not self._is_theirs(user, subject):
            self.log.warning(
                "Account %s of %s is refused: the name %s is not its own.", subject, self.issuer, name
            )
            raise refusal(
                403,
                f"The user name {name} is taken on this platform, by an account that is not the one you signed in "
                f"with. {self.ask}",
            )
        user = user or handler.user_from_username(name)
        full_name = model["auth_state"][self.user_auth_state_key].get("name")
        user.user_info = {
            "name": name,
            "display_name": full_name if isinstance(full_name, str) and full_name else name,
            "issuer": self.issuer,
            "subject": subject,
        }
        handler.db.commit()
        return dict(user.user_info)

    def _is_theirs(self, user: Any, subject: str) -> bool:
        """Whether a user of the hub belongs to the account at the provider, or may come to."""
        info = user.user_info or {}
        if not info.get("subject"):
            # Somebody who is no account of the provider's has this name: a local account from before, or a
            # name that an administrator has entered. Only one that nobody has ever used is free to take, and
            # one with an administrator's rights only where the configuration means this very name.
            return user.last_activity is None and (not user.admin or user.name in self.admin_users)
        if info.get("issuer") == self.issuer:
            return bool(info["subject"] == subject)
        return info.get("issuer") in self.replaces

    # Groups and rights

    async def get_user_groups(self, auth_state: dict[str, Any]) -> set[str]:
        """The groups in the provider's answer; none, with a line in the log, where they are not a list."""
        claims = auth_state[self.user_auth_state_key]
        groups = claims.get(self.groups_claim)
        if groups is None:
            path = self.groups_claim.split(".")
            groups = reduce(lambda inner, key: inner.get(key) if isinstance(inner, dict) else None, path, claims)
        if isinstance(groups, str):
            groups = [groups]
        if not isinstance(groups, list):
            self.log.warning("%s gave no list of groups (the claim %r).", self.login_service, self.groups_claim)
            return set()
        return {str(group) for group in groups if group}

    def _administrator(self, name: str, model: dict[str, Any]) -> bool | None:
        """Whether the person is an administrator; None leaves it as it is."""
        if name in self.admin_users:
            return True
        if self.admin_groups:
            return not self.admin_groups.isdisjoint(model.get("groups") or ())
        return None

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """Check that the person may use the platform.

        Raises
        ------
        tornado.web.HTTPError
            403 where they may not.
        """
        if not await super().check_allowed(username, auth_model):
            raise refusal(403, self.custom_403_message)
        return True

    # Staying signed in

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """Ask the provider again who the person is.

        Returns
        -------
        bool or dict
            The new model, True where everything stays as it is, or False where the person has to sign in again.
            Then their tokens go on for as long as `confirm_within` says.
        """
        # A page makes several requests at once. A refresh token is good for one use, and some providers take a
        # second use for a theft and end the session; so one question is asked, and all wait for its answer.
        asked = self._refreshing.get(user.name)
        if asked is None:
            asked = asyncio.ensure_future(self._ask_again(user, handler))
            self._refreshing[user.name] = asked
            asked.add_done_callback(lambda _: self._refreshing.pop(user.name, None))
        # A person who closes the page must not end the question for the others.
        answer = await asyncio.shield(asked)
        if isinstance(answer, dict):
            return dict(answer)
        if answer is False:
            overdue = await self._is_overdue(user)
            if handler is not None and not hasattr(handler, "_token_authenticated"):
                # JupyterHub 6.1.1 reads this next and has set it only for a request with a token: a person who
                # is to sign in again would read of an internal error.
                handler._token_authenticated = False
            # What the hub reads next, without giving way to another request: whether a token, with which nobody
            # can sign in, is refused as well.
            self.auth_refresh_strict = overdue
        return answer

    async def _ask_again(self, user: Any, handler: Any) -> Any:
        """One question to the provider about a person who is signed in."""
        try:
            model = await super().refresh_user(user, handler)
            if not isinstance(model, dict):
                return model
            model["admin"] = self._administrator(user.name, model)
            await self.check_allowed(user.name, model)
        except ProviderDown as down:
            self.log.warning("%s stays signed in with what was last known: %s", user.name, down.log_message)
            return True
        except web.HTTPError as refused:
            self.log.warning("%s has to sign in again: %s", user.name, refused.log_message)
            # The provider knows the person, and the answer is no: that is not for their tokens to outlast.
            await user.save_auth_state({**(await user.get_auth_state() or {}), "confirmed_at": 0})
            return False
        # Kept before anybody can ask with the refresh token that this answer has replaced.
        await user.save_auth_state(model["auth_state"])
        return model

    async def _is_overdue(self, user: Any) -> bool:
        """Whether the provider last confirmed a person too long ago for their tokens to go on."""
        state = await user.get_auth_state() or {}
        return bool(self._clock() - state.get("confirmed_at", 0) > self.confirm_within)

    def build_auth_state_dict(self, token_info: dict[str, Any], user_info: dict[str, Any]) -> dict[str, Any]:
        """What is kept of a person, encrypted: the provider's tokens and answer, and when it was given."""
        state: dict[str, Any] = super().build_auth_state_dict(token_info, user_info)
        return {**state, "confirmed_at": self._clock()}

    # Talking to the provider

    def build_token_info_request_headers(self) -> dict[str, str]:
        """The headers of a question for tokens."""
        headers: dict[str, str] = super().build_token_info_request_headers()
        if self.basic_auth:
            # RFC 6749, §2.3.1: both are form-encoded before they are joined.
            headers["Authorization"] = _basic(quote_plus(self.client_id), quote_plus(self.client_secret))
        return headers

    async def get_token_info(self, handler: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Ask the provider for tokens, and check the ID token among them (OpenID Connect Core 1.0, §3.1.3.7).

        It comes from the provider itself over TLS, which stands for its signature there.
        """
        tokens: dict[str, Any] = await super().get_token_info(handler, params)
        if "id_token" not in tokens and params["grant_type"] != "authorization_code":
            return tokens
        try:
            jwt.decode(
                tokens.get("id_token", ""),
                audience=self.client_id,
                issuer=self.issuer,
                leeway=CLOCK_LEEWAY,
                options={
                    "verify_signature": False, "verify_aud": True, "verify_iss": True, "verify_exp": True,
                    "require": ["iss", "sub", "aud", "exp"],
                },
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise refusal(
                502, f"{self.login_service} answered with an ID token that is not for this platform: {error}."
            ) from None
        return tokens

    async def token_to_user(self, token_info: dict[str, Any]) -> dict[str, Any]:
        """Ask the provider who the person is; the answer must be of the same account as the ID token (§5.3.2)."""
        claims: dict[str, Any] = await super().token_to_user(token_info)
        if token := token_info.get("id_token"):
            subject = jwt.decode(token, options={"verify_signature": False}).get("sub")
            if claims.get("sub") != subject:
                raise refusal(502, f"{self.login_service} answered about another account than the one signed in.")
        return claims

    async def httpfetch(self, url: str, label: str = "fetching", **kwargs: Any) -> dict[str, Any]:
        """Ask the provider something.

        Raises
        ------
        ProviderDown
            Where it does not answer, has an error of its own, or answers with something that is not an object
            of JSON.
        tornado.httpclient.HTTPClientError
            Where it refuses.
        """
        try:
            answer = await super().httpfetch(url, label, **kwargs)
            if isinstance(answer, dict):
                return answer
            what = "an answer that is not an object of JSON"
        except HTTPClientError as error:
            if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            what = str(error)
        except (OSError, ValueError) as error:
            what = str(error)
        self.log.error("The provider does not answer as it should: %s %s: %s", label, url, what)
        raise ProviderDown(
            503,
            f"{self.login_service} does not answer as it should, so nobody can sign in just now. Try again in a "
            "few minutes. People who are signed in can go on.",
            reason=HTTPStatus(503).phrase,
        ) from None


def refusal(status: int, message: str) -> web.HTTPError:
    """An error whose text the person reads as it is, on the page or in the answer."""
    return web.HTTPError(status, message, reason=HTTPStatus(status).phrase)


def _reason(error: HTTPClientError) -> str:
    """What the provider says it refuses for (RFC 6749, §5.2), or the status where it does not say."""
    try:
        said = json.loads(error.response.body) if error.response else {}
        return str(said.get("error_description") or said["error"])
    except (ValueError, KeyError, AttributeError):
        return f"{error.code} {error.message}"


def _basic(name: str, password: str) -> str:
    """HTTP's basic authentication (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
