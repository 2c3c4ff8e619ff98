"""SQLite as a hub needs it."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Engine, event


def write_ahead() -> None:
    """Have every SQLite connection that this process opens from now on write ahead.

    JupyterHub opens its own database and has no setting for this; on SQLite's defaults each sign-in and start
    waits for the disk several times. With WAL, `synchronous=NORMAL` loses no consistency when the machine
    goes down, only what was committed in the last moment (https://www.sqlite.org/wal.html).
    """

    @event.listens_for(Engine, "connect")
    def _set(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.close()
