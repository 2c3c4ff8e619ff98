"""A database as migration 0001 made it, with what a ledger of that time wrote."""

from __future__ import annotations

from alembic import command
from hubquota.storage import migrate as migrations
from hubquota.storage.engine import decision
from sqlalchemy import Engine, text

#: When the story begins, in seconds since 1970.
BEGAN = 1_767_225_600

_ROWS = """
INSERT INTO account VALUES (1, 'ada', 'user', 'explorer', 9400, :t), (2, 'bob', 'user', 'researcher', 0, :t),
    (4, 'eve', 'user', 'explorer', -50, :t);
INSERT INTO lease VALUES
    (1, 1, 'server', 'server:ada/', 'Small server', 2, 1200, :t + 10, :t + 20, :t + 300, :t + 320, 600,
     'The server was stopped.'),
    (2, 1, 'server', 'server:ada/', 'Small server', 2, 1200, :t + 1000, :t + 1010, NULL, NULL, 0, NULL),
    (3, 1, 'server', 'server:ada/x', 'Small server', 3, 1800, :t + 1100, NULL, NULL, NULL, 0, NULL),
    (4, 1, 'server', 'server:ada/y', 'Small server', 3, 1800, :t + 1100, NULL, NULL, :t + 1200, 0, 'It failed.');
INSERT INTO entry VALUES
    (1, 1, :t, 'grant', 9000, 9000, NULL, 'first start', 'Budget.', 'opening:1'),
    (2, 4, :t, 'correction', -50, -50, NULL, 'root', 'A mistake.', 'correction:1'),
    (3, 1, :t + 320, 'charge', -600, 8400, 1, 'hubquota', 'Small server, 300 s', 'charge:1'),
    (4, 1, :t + 500, 'grant', 1000, 9400, NULL, 'root', 'A proposal.', 'grant:proposal-7');
"""


def make(engine: Engine) -> None:
    """Set a database up in its first form, and write to it."""
    with decision(engine) as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in filter(str.strip, _ROWS.replace(":t", str(BEGAN)).split(";")):
            connection.execute(text(statement))
        if engine.dialect.name == "postgresql":
            for name in ("account", "lease", "entry"):
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))")
                )
