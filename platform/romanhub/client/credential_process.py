"""What AWS's libraries start for keys (`credential_process`): it asks the broker and prints what it answers.

Standard library alone: it starts in a twentieth of a second, which boto3 and the AWS command line wait for.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request

#: The variables that the platform sets: the broker's address, a worker's token for it, and a server's token.
BROKER_VARIABLE = "ROMANHUB_BROKER_URL"
WORKER_TOKEN_VARIABLE = "ROMANHUB_BROKER_TOKEN"  # noqa: S105  -- a name, not a token
TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105

#: How long the broker may take to answer, in seconds.
TIMEOUT = 30.0


def main() -> int:
    """Print keys as AWS's libraries read them; what goes wrong goes to the error output, as a sentence."""
    url = os.environ.get(BROKER_VARIABLE)
    token = os.environ.get(WORKER_TOKEN_VARIABLE) or os.environ.get(TOKEN_VARIABLE)
    if not url or not token:
        sys.stderr.write("This is not a server or a Dask worker of the platform: there are no keys to get.\n")
        return 2
    request = urllib.request.Request(  # noqa: S310  -- the platform sets the address
        f"{url.rstrip('/')}/api/credentials/process", headers={"Authorization": f"Bearer {token}"}
    )
    # The broker is the platform's own: no proxy that the environment names for the outside is on the way.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            sys.stdout.write(answer.read().decode())
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"{_told(error)}\n")
        return 1
    except OSError:
        sys.stderr.write("The platform's broker does not answer. Try again in a minute.\n")
        return 1
    return 0


def _told(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"The platform's broker gave no keys (HTTP status {error.code}). Try again in a minute."


if __name__ == "__main__":
    raise SystemExit(main())
