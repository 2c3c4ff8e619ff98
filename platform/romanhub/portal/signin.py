"""The routes through which a browser signs in and out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from romanhub.portal.auth import Cookie, Doorkeeper
from romanhub.portal.settings import HubSettings


def routes(settings: HubSettings, doorkeeper: Doorkeeper) -> APIRouter:
    """The OAuth callback that the hub sends browsers back to, and the way out."""
    router = APIRouter(include_in_schema=False)

    @router.get(settings.callback_path)
    async def oauth_callback(request: Request) -> RedirectResponse:
        next_path, cookies = await doorkeeper.finish_sign_in(request)
        return redirect(next_path, cookies, doorkeeper, request)

    @router.get(f"{settings.prefix}logout")
    async def logout(request: Request) -> RedirectResponse:
        # The hub's own page goes on from here: it ends the session everywhere, this portal included.
        cookie = doorkeeper.sign_out(request)
        return redirect(settings.page("logout"), [cookie], doorkeeper, request)

    return router


def redirect(address: str, cookies: list[Cookie], doorkeeper: Doorkeeper, request: Request) -> RedirectResponse:
    """Send the browser to `address` with `cookies`."""
    response = RedirectResponse(address, status_code=303)
    for cookie in cookies:
        response.headers.append("set-cookie", doorkeeper.cookie_header(cookie, request))
    return response
