"""How the leases of a hub's servers are named."""

from __future__ import annotations

from hubquota.models.kinds import SERVER


def server_key(user: str, server: str, hub: str = "") -> str:
    """Return the key of a server's lease. A user's name has no slash, so no two servers share one.

    Args:
        user: the user's name.
        server: the server's name; empty for the default one.
        hub: the hub's name, where several hubs share a ledger.
    """
    return f"{_prefix(hub)}{user}/{server}"


def server_of(key: str, hub: str = "") -> tuple[str, str]:
    """Return the user's and the server's name of a key.

    Raises:
        ValueError: it is not the key of a server of this hub.
    """
    user, slash, server = key.removeprefix(_prefix(hub)).partition("/")
    if not runs_on(key, hub) or not slash:
        raise ValueError(f"'{key}' is not the key of a server's lease.")
    return user, server


def runs_on(key: str, hub: str = "") -> bool:
    """Return whether a key is of a server of this hub, and not of another one that shares the ledger."""
    return key.startswith(_prefix(hub))


def _prefix(hub: str) -> str:
    return f"{SERVER}@{hub}:" if hub else f"{SERVER}:"
