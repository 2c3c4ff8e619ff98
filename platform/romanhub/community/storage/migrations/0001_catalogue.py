"""Entries with versions, acts, stars, opens, runs and repositories; and what a search looks through."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ACTS = "what was done to entries is append-only"
_VERSIONS = "a version that is public does not change"
_TEXT = ("title", "names", "abstract", "words")


def upgrade() -> None:
    """Create the catalogue."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    _create_entries(number)
    _create_uses(number)
    _create_work(number)
    if op.get_bind().dialect.name == "postgresql":
        _search_in_postgresql()
        _protect_in_postgresql()
    else:
        _search_in_sqlite()
        _protect_in_sqlite()


def _create_entries(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "entry",
        sa.Column("id", number, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("newest", sa.Integer()),
        sa.Column("reason", sa.Text()),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("proved_at", sa.BigInteger()),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("opens", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="entry_pkey"),
        sa.UniqueConstraint("name", name="entry_name_key"),
        sa.CheckConstraint("kind IN ('notebook', 'tool', 'product')", name=op.f("entry_kind_check")),
        sa.CheckConstraint(
            "state IN ('draft', 'public', 'reviewed', 'deprecated', 'withdrawn')", name=op.f("entry_state_check")
        ),
        sa.CheckConstraint("(state = 'draft') = (newest IS NULL)", name=op.f("entry_newest_check")),
        sa.CheckConstraint("proof IN ('never', 'passed', 'failed', 'stale')", name=op.f("entry_proof_check")),
        sa.CheckConstraint("stars >= 0 AND opens >= 0", name=op.f("entry_counts_check")),
        sqlite_autoincrement=True,
    )
    op.create_index("entry_owner", "entry", ["owner"])
    op.create_table(
        "version",
        sa.Column("id", number, primary_key=True),
        sa.Column("entry_id", number, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sidecar", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("words", sa.Text()),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="version_pkey"),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="version_entry_id_fkey"),
        sa.UniqueConstraint("entry_id", "number", name="version_entry_id_number_key"),
        sa.CheckConstraint("number >= 1 AND size >= 0", name=op.f("version_numbers_check")),
    )
    pending = sa.text("published_at IS NULL")
    op.create_index(
        "version_pending", "version", ["entry_id"], unique=True, sqlite_where=pending, postgresql_where=pending
    )
    op.create_index("version_digest", "version", ["digest"])
    op.create_table(
        "act",
        sa.Column("id", number, primary_key=True),
        sa.Column("entry_id", number, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="act_pkey"),
    )
    op.create_index("act_entry", "act", ["entry_id", "id"])


def _create_uses(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "star",
        sa.Column("entry_id", number, nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "person", name="star_pkey"),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="star_entry_id_fkey"),
    )
    op.create_index("star_person", "star", ["person"])
    op.create_table(
        "opened",
        sa.Column("id", number, primary_key=True),
        sa.Column("entry_id", number, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="opened_pkey"),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="opened_entry_id_fkey"),
    )
    op.create_index("opened_entry", "opened", ["entry_id", "person", "at"])
    op.create_table(
        "facet",
        sa.Column("entry_id", number, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "name", "value", name="facet_pkey"),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="facet_entry_id_fkey"),
    )
    op.create_index("facet_value", "facet", ["name", "value", "entry_id"])
    op.create_table(
        "entry_text",
        sa.Column("entry_id", number, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _TEXT),
        sa.PrimaryKeyConstraint("entry_id", name="entry_text_pkey"),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="entry_text_entry_id_fkey"),
    )


def _create_work(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "run",
        sa.Column("id", number, primary_key=True),
        sa.Column("entry_id", number),
        sa.Column("version", sa.Integer()),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("notebook", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("image_digest", sa.Text()),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("outcome", sa.Text()),
        sa.Column("failed_cell", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("seconds", sa.Float()),
        sa.Column("peak_bytes", sa.BigInteger()),
        sa.Column("credits", sa.BigInteger()),
        sa.Column("lease", sa.BigInteger()),
        sa.Column("server", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="run_pkey"),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="run_entry_id_fkey"),
        sa.CheckConstraint("purpose IN ('regular', 'image', 'own')", name=op.f("run_purpose_check")),
        sa.CheckConstraint("outcome IN ('passed', 'failed', 'refused', 'lost')", name=op.f("run_outcome_check")),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name=op.f("run_ended_check")),
    )
    waiting = sa.text("ended_at IS NULL")
    op.create_index("run_queue", "run", ["not_before", "id"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_index("run_entry", "run", ["entry_id", "id"])
    op.create_index("run_person", "run", ["person", "id"])
    op.create_table(
        "repository",
        sa.Column("id", number, primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("entry_prefix", sa.Text(), nullable=False),
        sa.Column("commit_read", sa.Text()),
        sa.Column("read_at", sa.BigInteger()),
        sa.Column("problem", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="repository_pkey"),
        sa.UniqueConstraint("url", "branch", "folder", name="repository_url_branch_folder_key"),
    )
    op.create_index("repository_owner", "repository", ["owner"])


def _search_in_postgresql() -> None:
    parts = " || ".join(
        f"setweight(to_tsvector('english', {name}), '{weight}')"
        for name, weight in zip(_TEXT, "ABCD", strict=True)
    )
    op.execute(f"ALTER TABLE entry_text ADD COLUMN document tsvector GENERATED ALWAYS AS ({parts}) STORED")
    op.execute("CREATE INDEX entry_text_document ON entry_text USING gin (document)")


def _search_in_sqlite() -> None:
    columns, new, old = (", ".join(f"{prefix}{name}" for name in _TEXT) for prefix in ("", "new.", "old."))
    op.execute(
        f"CREATE VIRTUAL TABLE entry_search USING fts5({columns}, content='entry_text', content_rowid='entry_id', "
        "tokenize='porter unicode61 remove_diacritics 2', prefix='2 3')"
    )
    add = f"INSERT INTO entry_search(rowid, {columns}) VALUES (new.entry_id, {new});"
    take = f"INSERT INTO entry_search(entry_search, rowid, {columns}) VALUES ('delete', old.entry_id, {old});"
    for event, what in (("INSERT", add), ("DELETE", take), ("UPDATE", take + " " + add)):
        op.execute(f"CREATE TRIGGER entry_text_{event.lower()} AFTER {event} ON entry_text BEGIN {what} END")


def _protect_in_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION act_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_ACTS}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER act_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON act "
        "FOR EACH STATEMENT EXECUTE FUNCTION act_append_only()"
    )
    op.execute(
        "CREATE FUNCTION version_unchanging() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_VERSIONS}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER version_unchanging BEFORE UPDATE OR DELETE ON version "
        "FOR EACH ROW WHEN (OLD.published_at IS NOT NULL) EXECUTE FUNCTION version_unchanging()"
    )


def _protect_in_sqlite() -> None:
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER act_append_only_{event.lower()} BEFORE {event} ON act "
            f"BEGIN SELECT RAISE(ABORT, '{_ACTS}'); END"
        )
        op.execute(
            f"CREATE TRIGGER version_unchanging_{event.lower()} BEFORE {event} ON version "
            f"WHEN old.published_at IS NOT NULL BEGIN SELECT RAISE(ABORT, '{_VERSIONS}'); END"
        )
