"""Servers with names: those of runs, wherever the platform runs."""

from __future__ import annotations

from hubquota.hub.refusal import refusal_error
from hubquota.models.ledger import Refused

from romanhub.models.runs import run_of

#: What is said to somebody who asks for a second server.
NAMED = (
    "You have one server, which has no name. Servers with names are started by the platform, to run notebooks: "
    "romanhub.run_later() asks for that."
)


def refuse_other_names(server: str) -> None:
    """Refuse a server with a name that is no run's.

    Raises
    ------
    HTTPError
        It has one; the hub shows the message.
    """
    if server and run_of(server) is None:
        raise refusal_error(Refused(limit="option", message=NAMED))
