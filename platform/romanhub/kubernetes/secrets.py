"""What is in the secret of a cluster: upstream's credentials, and the token for the broker."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from romanhub.dask.tokens import Token

#: The keys of the token, of its number, and of whose it is.
TOKEN, NUMBER, USER = "broker-token", "broker-token-number", "broker-token-user"


def with_token(token: Token) -> dict[str, Any]:
    """Return what to change in a secret so that it holds a token."""
    values = {TOKEN: token.value, NUMBER: token.number, USER: token.user}
    return {"data": {name: b64encode(value.encode()).decode() for name, value in values.items()}}


def token_in(data: Mapping[str, str] | None) -> Token | None:
    """Return the token that a secret holds, if it holds one."""
    if data is None or any(name not in data for name in (TOKEN, NUMBER, USER)):
        return None
    value, number, user = (b64decode(data[name]).decode() for name in (TOKEN, NUMBER, USER))
    return Token(user, number, value)


def api_token_in(data: Mapping[str, str]) -> str:
    """Return the cluster's own token, by which its scheduler knows the gateway."""
    return b64decode(data["api-token"]).decode()
