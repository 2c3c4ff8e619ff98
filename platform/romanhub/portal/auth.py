"""Who is asking: bearer tokens, the browser's session, and signing in through the hub.

A request proves who sends it in one of two ways. Programs send a hub token in the Authorization header.
Browsers hold a cookie with the token that the hub gave the portal when the person signed in (OAuth 2 with a
code and RFC 7636's verifier). Nothing about a session is kept in the portal's memory, so it may be restarted,
or run more than once, without signing anybody out.

On a hub with one host name, pages of a person's own server share the portal's origin. The cookie is
therefore only believed for navigations that change nothing, and which a script cannot read: a notebook's
script that fetches a portal address needs a token like every other program.

What changes something is never done for a cookie. A page's forms carry a ticket: the session, encrypted, for
some hours. Pages are served in a sandbox, an origin of their own, so no other page can read a ticket out of
them; and nobody else can make one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from urllib.parse import quote, unquote, urlencode

from cryptography.fernet import Fernet, InvalidToken
from starlette.requests import Request

from romanhub.portal import scopes
from romanhub.portal.hub import HubClient, Identity
from romanhub.portal.settings import HubSettings

#: The cookie that carries a signed-in browser's token.
SESSION_COOKIE = "romanhub-portal"
#: The cookies of sign-ins under way, one each, so that several tabs may sign in at once.
SIGN_IN_COOKIE = "romanhub-portal-signin-"
#: How long a person may take at the hub to sign in, in seconds.
SIGN_IN_SECONDS = 600
#: How long a form may be filled in, in seconds: as long as a long day.
TICKET_SECONDS = 12 * 3600
#: How long the parts of a page can be fetched, in seconds.
PASS_SECONDS = 3600
#: The hub's own session cookie, which changes when the person signs out there.
_HUB_SESSION_COOKIE = "jupyterhub-session-id"

#: What a token may look like (RFC 6750, section 2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_AUTHORIZATION = re.compile(rf"(?:bearer|token) +({_TOKEN.pattern}) *", re.IGNORECASE)


class NotSignedInError(Exception):
    """Nobody the hub knows sent this request; `why` says what was wrong with it, in a sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NotAllowedError(Exception):
    """The hub knows who sent this request, and they may not have what they ask for."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class SignInFailedError(Exception):
    """A browser came back from the hub and could not be signed in; `why` is a sentence for the person."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Visitor:
    """Somebody who may use the portal."""

    name: str
    kind: str
    groups: tuple[str, ...]
    #: Whether they may decide and act on every account.
    admin: bool
    #: Whether they may read every account.
    auditor: bool = False
    #: Whether they may ask for allocations, and keep the members of projects that they lead.
    requester: bool = False
    #: Whether they may change what readers of the community's catalogue see, with the token that was sent.
    publisher: bool = False
    #: The name of their server whose own token was sent; empty for the default one and for any other token.
    server: str = ""


@dataclass(frozen=True)
class Cookie:
    """One cookie to set, or to remove where `value` is empty."""

    name: str
    value: str
    seconds: int | None = None


def _server_of(identity: Identity) -> str:
    """Return the name of the one server that a token is for; a token that opens several is no server's own."""
    start = f"access:servers!server={identity.name}/"
    servers = [scope.removeprefix(start) for scope in identity.scopes if scope.startswith("access:servers")]
    return servers[0] if len(servers) == 1 and f"{start}{servers[0]}" in identity.scopes else ""


class Doorkeeper:
    """Decides who a request comes from, and takes browsers through the hub's sign-in."""

    def __init__(self, settings: HubSettings, hub: HubClient) -> None:
        self._settings = settings
        self._hub = hub
        secret = settings.api_token.get_secret_value()
        self._verifier_key = hashlib.sha256(b"romanhub.portal.verifier\0" + secret.encode()).digest()
        ticket_key = hashlib.sha256(b"romanhub.portal.ticket\0" + secret.encode()).digest()
        self._tickets = Fernet(base64.urlsafe_b64encode(ticket_key))

    async def visitor(self, request: Request) -> Visitor:
        """Who sends `request`.

        Raises NotSignedInError, NotAllowedError (known to the hub, without the scope to use the portal) and
        HubUnavailableError.
        """
        session = request.cookies.get(_HUB_SESSION_COOKIE, "")
        return await self._visitor(self._token(request), session, acting=request.method not in ("GET", "HEAD"))

    def ticket(self, request: Request) -> str:
        """What the forms of a page carry so that they count as filled in by whoever reads the page.

        Raises NotSignedInError if the page is not read in a browser's session.
        """
        content = {"token": self._session_token(request), "session": request.cookies.get(_HUB_SESSION_COOKIE, "")}
        return self._tickets.encrypt(json.dumps(content).encode()).decode()

    async def holder(self, ticket: str) -> Visitor:
        """Who filled in a form with that ticket; the hub is asked as for every request.

        Raises NotAllowedError if it is no ticket or too old, NotSignedInError if the session has ended, and
        HubUnavailableError.
        """
        try:
            content = json.loads(self._tickets.decrypt(ticket.encode(), ttl=TICKET_SECONDS))
            if "pass" in content:  # what fetches a picture fills in no form
                raise InvalidToken
        except (InvalidToken, UnicodeEncodeError):
            raise NotAllowedError(
                "This form was opened too long ago, or not here. Nothing was changed. Open the page again and "
                "fill it in once more."
            ) from None
        return await self._visitor(content["token"], content["session"], acting=True)

    def token_of(self, ticket: str) -> str:
        """The hub token of whoever filled in a form, whose ticket `holder` has let through; see `token`.

        Raises NotAllowedError.
        """
        try:
            return str(json.loads(self._tickets.decrypt(ticket.encode(), ttl=TICKET_SECONDS))["token"])
        except (InvalidToken, UnicodeEncodeError, KeyError):
            raise NotAllowedError("This form was opened too long ago. Open the page again.") from None

    def token(self, request: Request) -> str:
        """The hub token of whoever sends `request`, to ask other services of the platform with in their name.

        Raises NotSignedInError.
        """
        return self._token(request)

    def pass_for(self, request: Request, what: str) -> str:
        """What opens one thing for whoever reads a page: for parts of it that a browser fetches without a session.

        Raises NotSignedInError.
        """
        session = request.cookies.get(_HUB_SESSION_COOKIE, "")
        content = {"pass": what, "token": self._token(request), "session": session}
        return self._tickets.encrypt(json.dumps(content).encode()).decode()

    async def passed(self, given: str) -> tuple[str, str]:
        """What a pass opens, and the token of whom it was given to, who must still be signed in.

        Raises NotAllowedError if it is no pass or too old, NotSignedInError if the session has ended, and
        HubUnavailableError.
        """
        try:
            content = json.loads(self._tickets.decrypt(given.encode(), ttl=PASS_SECONDS))
            what, token, session = content["pass"], content["token"], content["session"]
        except (InvalidToken, UnicodeEncodeError, KeyError):
            raise NotAllowedError(
                "This address was made too long ago, or not here. Load its page again."
            ) from None
        await self._visitor(token, session, acting=False)
        return what, token

    async def _visitor(self, token: str, session: str, *, acting: bool) -> Visitor:
        if acting:
            # Who changes something is who the hub says now, not a minute ago.
            self._hub.forget(token, session)
        identity = await self._hub.identify(token, session)
        if identity is None:
            raise NotSignedInError("The hub does not know this token: it has ended or was taken back.")
        if not identity.scopes & self._settings.allowed_scopes:
            raise NotAllowedError(
                f"The hub says that {identity.name} may not use this service with the token that was sent; "
                f"it lacks the scope access:services!service={self._settings.service_name}."
            )
        admin = bool(identity.scopes & {self._settings.admin_scope, scopes.ADMIN})
        return Visitor(
            name=identity.name,
            kind=identity.kind,
            groups=identity.groups,
            admin=admin,
            auditor=admin or scopes.READ in identity.scopes,
            requester=admin or scopes.REQUEST in identity.scopes,
            publisher=scopes.PUBLISH in identity.scopes or self._settings.admin_scope in identity.scopes,
            server=_server_of(identity),
        )

    async def begin_sign_in(self, next_path: str) -> tuple[str, Cookie]:
        """Where to send a browser to sign in, and the cookie it takes along; `next_path` is where it goes after.

        Raises HubUnavailableError rather than send anybody to a hub that does not answer.
        """
        await self._hub.ensure_up()
        state = secrets.token_urlsafe(24)
        digest = hashlib.sha256(self._verifier(state).encode()).digest()
        query = {
            "client_id": self._settings.client_id,
            "redirect_uri": self._settings.redirect_uri,
            "response_type": "code",
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        cookie = Cookie(_sign_in_cookie(state), f"{state}:{quote(next_path, safe='/')}", seconds=SIGN_IN_SECONDS)
        return f"{self._settings.page('api/oauth2/authorize')}?{urlencode(query)}", cookie

    async def finish_sign_in(self, request: Request) -> tuple[str, list[Cookie]]:
        """Where a browser that comes back from the hub goes on to, and its cookies.

        Raises SignInFailedError, CodeRefusedError and HubUnavailableError.
        """
        if "error" in request.query_params:
            raise SignInFailedError("The hub did not let you in, or you declined to go on.")
        code, state = request.query_params.get("code", ""), request.query_params.get("state", "")
        cookie_name = _sign_in_cookie(state)
        begun, _, next_path = request.cookies.get(cookie_name, "").partition(":")
        if not code or not begun or not hmac.compare_digest(begun.encode(), state.encode()):
            raise SignInFailedError("This sign-in was begun too long ago, or in another browser.")
        token = await self._hub.token_for_code(code, self._verifier(state))
        next_path = unquote(next_path)
        if not next_path.startswith(self._settings.prefix):
            next_path = self._settings.prefix
        cookies = [Cookie(SESSION_COOKIE, token), Cookie(cookie_name, "")]
        return next_path, cookies

    def sign_out(self, request: Request) -> Cookie:
        """Forget the browser's session; the answer is the cookie to send."""
        try:
            token = self._session_token(request)
        except NotSignedInError:
            pass
        else:
            self._hub.forget(token, request.cookies.get(_HUB_SESSION_COOKIE, ""))
        return Cookie(SESSION_COOKIE, "")

    def cookie_header(self, cookie: Cookie, request: Request) -> str:
        """The Set-Cookie header for `cookie`: for the portal's own path, out of reach of scripts."""
        morsels: SimpleCookie = SimpleCookie()
        morsels[cookie.name] = cookie.value
        morsel: Morsel[str] = morsels[cookie.name]
        morsel["path"] = self._settings.prefix
        morsel["httponly"] = True
        # Lax, not Strict: coming back from the hub or an identity provider is a navigation from elsewhere.
        morsel["samesite"] = "Lax"
        if _browser_scheme(request) == "https":
            morsel["secure"] = True
        if not cookie.value:
            morsel["max-age"] = 0
        elif cookie.seconds is not None:
            morsel["max-age"] = cookie.seconds
        return morsel.OutputString()

    def _token(self, request: Request) -> str:
        header = request.headers.get("authorization")
        if header is None and request.method not in ("GET", "HEAD"):
            raise NotSignedInError(
                "What changes something is not done for a browser's session here. Send a hub token as "
                "`Authorization: Bearer TOKEN`."
            )
        if header is None:
            return self._session_token(request)
        match = _AUTHORIZATION.fullmatch(header)
        if match is None:
            raise NotSignedInError("The Authorization header has to read `Bearer`, a space and a hub token.")
        return match[1]

    def _session_token(self, request: Request) -> str:
        token = request.cookies.get(SESSION_COOKIE, "")
        if not _TOKEN.fullmatch(token):
            raise NotSignedInError("The request carries no hub token. Send one as `Authorization: Bearer TOKEN`.")
        if request.headers.get("sec-fetch-mode", "navigate") != "navigate":
            raise NotSignedInError(
                "A script may not use the browser's session here. Send a hub token as `Authorization: "
                "Bearer TOKEN`."
            )
        return token

    def _verifier(self, state: str) -> str:
        """The secret of RFC 7636 for a sign-in: made from its state, so that it need not be kept anywhere."""
        digest = hmac.new(self._verifier_key, state.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _sign_in_cookie(state: str) -> str:
    return SIGN_IN_COOKIE + hashlib.sha256(state.encode()).hexdigest()[:12]


def _browser_scheme(request: Request) -> str:
    """The scheme that the browser used, as the first of the proxies in between reports it."""
    forwarded = request.headers.get("x-forwarded-proto", "")
    return forwarded.split(",")[0].strip().lower() or request.url.scheme
