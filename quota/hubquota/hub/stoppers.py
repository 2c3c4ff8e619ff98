"""Who asked the hub to stop a server.

The hub does not tell a spawner. With `Authenticator.refresh_pre_stop` it calls `refresh_user(user, handler)`
before it stops a server, and the handler knows who is asking: that is remembered for what the request goes on to
do.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from hubquota.models.stops import STOPPED, EndKind

#: The kind and the name of who asked; None where nobody did, or nobody can say.
_ASKER: ContextVar[tuple[str, str] | None] = ContextVar("hubquota_asker", default=None)


def note_asker(user: Any, handler: Any) -> None:
    """Remember who asks for a stop, for the request that is being answered and all that it starts.

    Args:
        user: the hub's user who is refreshed.
        handler: the hub's handler of the request; None where there is none.
    """
    if getattr(getattr(handler, "request", None), "method", None) != "DELETE":
        return
    try:
        asker = handler.current_user
    except RuntimeError:
        # It is just being found out: the one who asks is refreshed.
        asker = user
    if asker is not None:
        _ASKER.set((getattr(asker, "kind", "user"), asker.name))


def why_stopped(owner: str) -> tuple[str, EndKind]:
    """Return why a server was stopped by the hub, for its owner to read.

    Args:
        owner: whose server it is.
    """
    asker = _ASKER.get()
    if asker is None:
        return STOPPED, "stopped"
    kind, name = asker
    if kind != "user":
        return f"The server was stopped by the service {name}.", "stopped"
    return f"The server was stopped by {name}.", "stopped" if name == owner else "admin"
