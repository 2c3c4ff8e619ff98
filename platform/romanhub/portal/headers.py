"""The headers that keep the portal's answers from being framed, cached, guessed at or run."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Pages need their own style sheet, their own forms and nothing else. `sandbox` gives each an origin of its
#: own, so that no script that opens it in a window can read it or fill it in, not even one from a person's
#: server under the same host name.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; sandbox allow-forms allow-downloads allow-top-navigation allow-popups "
    "allow-popups-to-escape-sandbox"
)
#: Data is never a page, and has an origin of its own for the same reason.
DATA_POLICY = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox"

_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def protect(headers: MutableHeaders) -> None:
    """Add the headers to an answer's own, which win."""
    policy = headers.get("content-security-policy", "frame-ancestors")
    for name, value in _EVERYWHERE.items():
        # What has a policy of its own that names no ancestors is meant to be framed: a rendered notebook.
        if name != "X-Frame-Options" or "frame-ancestors" in policy:
            headers.setdefault(name, value)
    is_page = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else DATA_POLICY)
    headers.setdefault("Cache-Control", "no-store")


class SecurityHeaders:
    """ASGI middleware that protects every answer of the application within it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                protect(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_protected)
