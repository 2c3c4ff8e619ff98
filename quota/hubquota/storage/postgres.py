"""Connections to PostgreSQL that do not wait for ever for a server that has gone silent."""

from __future__ import annotations

from typing import Any

import psycopg

#: Seconds beyond a statement's own time after which the server counts as gone: it would have given it up.
MARGIN = 2.0


class PatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself when an answer is overdue.

    PostgreSQL itself ends a statement that takes too long. Where its machine, or a balancer or a pooler before it,
    drops a connection without a word, nobody ends it: whoever waits for the answer would wait for a quarter of an
    hour, or for ever.
    """

    #: Seconds that an answer may take.
    longest: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Run a conversation with the server to its end.

        Raises:
            psycopg.OperationalError: an answer is overdue. The connection is closed then.
        """
        try:
            return super().wait(gen, interval, self.longest if timeout is None else timeout)
        except psycopg.OperationalError:
            # Without a state from the server, the error is this side's.
            if timeout is None and self.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.close()
            raise


def connect(arguments: Any, parameters: Any, *, timeout: float) -> PatientConnection:
    """Return a connection whose answers take no longer than a statement may, in seconds, and a little more."""
    connection = PatientConnection.connect(
        *arguments,
        # The machine below notices by itself where nothing confirms what was sent.
        tcp_user_timeout=int((timeout + MARGIN) * 1000),
        **parameters,
    )
    connection.longest = timeout + MARGIN
    return connection
