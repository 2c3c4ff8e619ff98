"""People's mail addresses, as the hub's sign-in knows them."""

from __future__ import annotations

from urllib.parse import quote

import httpx


class ClaimedAddresses:
    """Asks the hub for a claim of what a person signed in with.

    The hub has to keep it (`c.Authenticator.enable_auth_state`), and the token needs the scopes
    `read:users` and `admin:auth_state`.
    """

    def __init__(self, client: httpx.Client, claim: str) -> None:
        """Use a client of the hub's REST API, and the name of the claim, such as "email".

        A claim that is inside of others is named with dots: "oauth_user.email".
        """
        self._client = client
        self._claim = claim.split(".")

    def __call__(self, person: str) -> str | None:
        """Return a person's address; None where the hub knows none.

        Raises:
            OSError: the hub did not answer, or will not.
        """
        try:
            answer = self._client.get(f"users/{quote(person, safe='')}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            found: object = answer.raise_for_status().json().get("auth_state")
        except httpx.HTTPError as error:
            raise OSError(f"the hub does not say: {error}") from error
        for name in self._claim:
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, str) and found else None
