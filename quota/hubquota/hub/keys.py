"""How the leases of a hub's servers are named."""

from __future__ import annotations

from hubquota.models.kinds import SERVER


def server_key(user: str, server: str) -> str:
    """Return the key of a server's lease. A user's name has no slash, so no two servers share one."""
    return f"{SERVER}:{user}/{server}"


def server_of(key: str) -> tuple[str, str]:
    """Return the user's and the server's name of a key.

    Raises:
        ValueError: it is not a server's key.
    """
    kind, _, rest = key.partition(":")
    user, slash, server = rest.partition("/")
    if kind != SERVER or not slash:
        raise ValueError(f"'{key}' is not the key of a server's lease.")
    return user, server
