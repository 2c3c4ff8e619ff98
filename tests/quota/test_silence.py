"""PostgreSQL behind something that drops its connections without a word."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hubquota.storage.engine import make_engine, reading
from hubquota.storage.postgres import MARGIN
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from tests.quota.support import Postgres


class Relay:
    """A balancer on a port of this machine, before a PostgreSQL on its socket."""

    def __init__(self, postgres: Postgres) -> None:
        self._at = next(str(path) for path in Path(postgres.folder).glob(".s.PGSQL.*") if path.suffix != ".lock")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        #: Of the connections that are open, those that pass nothing on any more.
        self._silent: set[socket.socket] = set()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """Pass nothing on any more for the connections that there are; new ones work."""
        self._silent |= set(self._open)

    def close(self) -> None:
        """End everything."""
        for one in [self._listening, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._at)
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if one not in self._silent:
                    other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(postgres: Postgres, *, timeout: float) -> Iterator[tuple[Relay, Engine]]:
    relay = Relay(postgres)
    engine = make_engine(f"postgresql://{postgres.user}@127.0.0.1:{relay.port}/postgres", timeout=timeout)
    try:
        yield relay, engine
    finally:
        engine.dispose()
        relay.close()


def test_a_connection_that_falls_silent_is_given_up_and_another_one_is_made(postgres: Postgres) -> None:
    with relayed(postgres, timeout=0.5) as (relay, engine):
        with reading(engine) as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        relay.fall_silent()
        # The pool asks its connection whether it still answers, and makes another.
        with pytest.raises(OperationalError), reading(engine) as connection:
            assert connection.execute(text("SELECT 2")).scalar() == 2
            relay.fall_silent()
            connection.execute(text("SELECT 3"))
        with reading(engine) as connection:
            assert connection.execute(text("SELECT 4")).scalar() == 4


def test_whoever_may_take_longer_is_waited_for(postgres: Postgres) -> None:
    with relayed(postgres, timeout=0.1) as (_, engine), reading(engine, patience=10) as connection:
        slow = connection.execute(text(f"SELECT 5 FROM pg_sleep({MARGIN + 0.5})"))
        assert slow.scalar() == 5
