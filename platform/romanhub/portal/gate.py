"""Which visitors a route is for, as FastAPI dependencies."""

from __future__ import annotations

from fastapi import Request

from romanhub.portal.auth import Doorkeeper, NotAllowedError, Visitor


class Gate:
    """Lets a request through to a route, or raises what `Doorkeeper.visitor` raises, or NotAllowedError."""

    def __init__(self, doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper

    async def anybody(self, request: Request) -> Visitor:
        """Whoever may use the portal, a person or a service."""
        visitor = await self._doorkeeper.visitor(request)
        request.state.visitor = visitor
        return visitor

    async def person(self, request: Request) -> Visitor:
        """A person: a service has no account, even where it bears a person's name."""
        visitor = await self.anybody(request)
        if visitor.kind != "user":
            raise NotAllowedError(f"{visitor.name} is a service of the hub, and only people have accounts.")
        return visitor

    async def admin(self, request: Request) -> Visitor:
        """Somebody who may read every account."""
        visitor = await self.anybody(request)
        if not visitor.admin:
            raise NotAllowedError("Only the people who run this platform may read other people's accounts.")
        return visitor
