"""The Dask gateway's client, and what it answers as a sentence."""

from __future__ import annotations

import aiohttp
from dask_gateway import Gateway
from dask_gateway.client import GatewayClusterError, GatewayServerError

from romanhub.client.environment import RESTART
from romanhub.client.errors import ClusterRefusedError, NotAllowedError, RomanHubError

_AGAIN = "Run the cell again; if it happens again, please tell the platform's operators."


class ClosingGateway(Gateway):  # type: ignore[misc]
    """A client of the gateway that may be closed once more when it is let go of.

    One that is left to be closed then can hang for ten seconds in the start of the next one; one that was closed
    before would print a traceback.
    """

    def close(self) -> None:
        """Close it, where that was not done before."""
        if self._loop_runner.is_started():
            super().close()


def in_a_sentence(error: Exception) -> Exception:
    """Return what a user reads for an error of the gateway's client; any other error as it is."""
    match error:
        case RomanHubError():
            return error
        case GatewayServerError():
            return ClusterRefusedError(f"The Dask gateway met an error of its own. {_AGAIN}")
        case GatewayClusterError() if str(error).startswith("Cluster "):
            return ClusterRefusedError(f"The Dask gateway accepted the cluster, but it did not start. {_AGAIN}")
        case GatewayClusterError() | ValueError():
            return ClusterRefusedError(sentence(str(error)))
        case aiohttp.ClientResponseError(status=401 | 403):
            return NotAllowedError(
                f"The Dask gateway refused this server's token. {RESTART} and run the cell again."
            )
        case aiohttp.ClientResponseError():
            return ClusterRefusedError(
                f"The Dask gateway could not do it (HTTP status {error.status}). Wait a minute. {_AGAIN}"
            )
        case aiohttp.ClientError() | OSError() | TimeoutError():
            return ClusterRefusedError(
                "The Dask gateway does not answer, so nothing was changed. Wait a minute and run the cell again; "
                "if it happens again, please tell the platform's operators."
            )
    return error


def sentence(text: str) -> str:
    """Return somebody else's words as one sentence or more: on one line, with a full stop."""
    plain = " ".join(text.split())
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."
