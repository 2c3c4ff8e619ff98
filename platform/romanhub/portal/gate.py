"""Which visitors a route is for, as FastAPI dependencies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import Request

from romanhub.models.community import LARGEST_NOTEBOOK
from romanhub.portal import scopes
from romanhub.portal.auth import Doorkeeper, NotAllowedError, Visitor
from romanhub.portal.bodies import allow
from romanhub.portal.forms import Form
from romanhub.portal.problems import PortalError
from romanhub.portal.uploads import MULTIPART, multipart_fields

#: No form of the portal's is larger, in bytes; one with a notebook in it may be larger by that.
_LARGEST_FORM = 512 * 1024
_PLAIN = "application/x-www-form-urlencoded"


class Gate:
    """Lets a request through to a route, or raises what `Doorkeeper.visitor` raises, or NotAllowedError."""

    def __init__(self, doorkeeper: Doorkeeper, count_unread: Callable[[str], Awaitable[int]]) -> None:
        """Ask a doorkeeper who somebody is.

        Args:
            doorkeeper: knows.
            count_unread: counts the notices that a person has not seen, for the band at the top of pages.
        """
        self._doorkeeper = doorkeeper
        self._count_unread = count_unread

    async def anybody(self, request: Request) -> Visitor:
        """Whoever may use the portal, a person or a service."""
        visitor = await self._doorkeeper.visitor(request)
        await self._welcome(request, visitor)
        return visitor

    async def person(self, request: Request) -> Visitor:
        """A person: a service has no account, even where it bears a person's name."""
        visitor = await self.anybody(request)
        if visitor.kind != "user":
            raise NotAllowedError(f"{visitor.name} is a service of the hub, and only people have accounts.")
        return visitor

    async def requester(self, request: Request) -> Visitor:
        """A person who may ask for allocations."""
        return ensure_requester(await self.person(request))

    async def publisher(self, request: Request) -> Visitor:
        """A person whose token may change what readers of the community's catalogue see."""
        return ensure_publisher(await self.person(request))

    async def auditor(self, request: Request) -> Visitor:
        """Somebody who may read every account."""
        return ensure_auditor(await self.anybody(request))

    async def admin(self, request: Request) -> Visitor:
        """Somebody who may decide and act on every account."""
        return ensure_admin(await self.anybody(request))

    async def form(self, request: Request) -> Form:
        """A form of one of the portal's pages, and who filled it in: the one for whom the page was made.

        Raises NotAllowedError where the form has no ticket of the portal's, and PortalError where it is none.
        """
        return await self._form(request, _LARGEST_FORM, "The form has more text than fits. Shorten it.")

    async def notebook_form(self, request: Request) -> Form:
        """A form with a notebook's file in it; raises what `form` raises."""
        return await self._form(
            request,
            LARGEST_NOTEBOOK + _LARGEST_FORM,
            f"The file is larger than {LARGEST_NOTEBOOK // 1_000_000} MB. Clear its largest outputs, save it, and "
            "send it again.",
        )

    async def _form(self, request: Request, largest: int, too_large: str) -> Form:
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip() not in (_PLAIN, MULTIPART):
            raise PortalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The portal's forms are sent by its pages.")
        allow(request, largest, too_large)
        body = await request.body()
        if content_type.partition(";")[0].strip() == MULTIPART:
            fields = multipart_fields(content_type, body)
        else:
            fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=5000)
        ticket = fields.get("ticket", [""])[0]
        visitor = await self._doorkeeper.holder(ticket)
        await self._welcome(request, visitor)
        # A page that answers a form has forms of its own, for the same person.
        request.scope["portal.ticket"] = ticket
        request.scope["portal.back"] = fields.get("back", [""])[0].lstrip("/")
        return Form(visitor, fields)

    async def _welcome(self, request: Request, visitor: Visitor) -> None:
        request.state.visitor = visitor
        if visitor.kind == "user" and "authorization" not in request.headers:
            request.state.unread = await self._count_unread(visitor.name)

    def ticket(self, request: Request) -> str:
        """What the forms of the page that answers `request` carry."""
        return self._doorkeeper.ticket(request)


def ensure_requester(visitor: Visitor) -> Visitor:
    """Return a visitor who may ask for allocations; raises NotAllowedError."""
    if not visitor.requester:
        raise NotAllowedError(
            f"{visitor.name} may not ask for allocations with the token that was sent: it lacks the scope "
            f"{scopes.REQUEST}. Sign in at the portal's pages, or ask for a token with that scope."
        )
    return visitor


def ensure_publisher(visitor: Visitor) -> Visitor:
    """Return a visitor who may change what the community sees; raises NotAllowedError."""
    if not visitor.publisher:
        raise NotAllowedError(
            f"{visitor.name} may only make drafts with the token that was sent: it lacks the scope "
            f"{scopes.PUBLISH}. Publish on the portal's page of the entry, or ask for a token with that scope."
        )
    return visitor


def ensure_auditor(visitor: Visitor) -> Visitor:
    """Return a visitor who may read every account; raises NotAllowedError."""
    if not visitor.auditor:
        raise NotAllowedError("Only the people who run this platform may read other people's accounts.")
    return visitor


def ensure_admin(visitor: Visitor) -> Visitor:
    """Return a visitor who may act on every account; raises NotAllowedError."""
    if not visitor.admin:
        raise NotAllowedError(
            "Only the people who run this platform may decide requests and change allocations; it takes the "
            f"scope {scopes.ADMIN}."
        )
    return visitor
