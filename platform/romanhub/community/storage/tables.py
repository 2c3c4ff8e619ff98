"""The catalogue's tables. Times are whole seconds since 1970 in UTC; a person is their user name on the hub.

In PostgreSQL `entry_text` also has a column `document`, and in SQLite a table `entry_search` follows it: both are
made by the migration, kept by the database itself, and used by `romanhub.community.storage.gallery` alone.
"""

from __future__ import annotations

from pathlib import Path

from hubquota.storage.migrate import Migrations
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

#: The number of a row. SQLite numbers rows by itself only in a column that is exactly INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")

entry = Table(
    "entry",
    metadata,
    Column("id", Number, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    # The number of the newest public version; null before the first.
    Column("newest", Integer),
    # Why it is in its state, where somebody said so.
    Column("reason", Text),
    # What its last regular run showed, and since when; kept by whoever runs entries.
    Column("proof", Text, nullable=False),
    Column("proved_at", BigInteger),
    # How many rows `star` and `opened` have of it.
    Column("stars", Integer, nullable=False),
    Column("opens", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    CheckConstraint("kind IN ('notebook', 'tool', 'product')", name="kind"),
    CheckConstraint("state IN ('draft', 'public', 'reviewed', 'deprecated', 'withdrawn')", name="state"),
    CheckConstraint("(state = 'draft') = (newest IS NULL)", name="newest"),
    CheckConstraint("proof IN ('never', 'passed', 'failed', 'stale')", name="proof"),
    CheckConstraint("stars >= 0 AND opens >= 0", name="counts"),
    # What was written about one that is gone stays; its number is not given to another.
    sqlite_autoincrement=True,
)
Index("entry_owner", entry.c.owner)

version = Table(
    "version",
    metadata,
    Column("id", Number, primary_key=True),
    Column("entry_id", Number, ForeignKey("entry.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sidecar", JSON, nullable=False),
    Column("details", JSON, nullable=False),
    # What a search is to look through, until it is public; then `entry_text` has it.
    Column("words", Text),
    Column("made_by", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("published_at", BigInteger),
    UniqueConstraint("entry_id", "number", name="version_entry_id_number_key"),
    CheckConstraint("number >= 1 AND size >= 0", name="numbers"),
)
Index(
    "version_pending",
    version.c.entry_id,
    unique=True,
    sqlite_where=version.c.published_at.is_(None),
    postgresql_where=version.c.published_at.is_(None),
)
Index("version_digest", version.c.digest)
# The order of a search by age reads this alone.
Index("version_newest", version.c.entry_id, version.c.number, version.c.published_at)

act = Table(
    "act",
    metadata,
    Column("id", Number, primary_key=True),
    # Of no foreign key: what was done to a draft that is gone stays.
    Column("entry_id", Number, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("version", Integer),
    Column("reason", Text),
)
Index("act_entry", act.c.entry_id, act.c.id)

star = Table(
    "star",
    metadata,
    Column("entry_id", Number, ForeignKey("entry.id"), primary_key=True),
    Column("person", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
)
Index("star_person", star.c.person)

opened = Table(
    "opened",
    metadata,
    Column("id", Number, primary_key=True),
    Column("entry_id", Number, ForeignKey("entry.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("person", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index("opened_entry", opened.c.entry_id, opened.c.person, opened.c.at)

#: What the newest public version of an entry has: tag, dataset, image; `source` is an entry that it builds on.
facet = Table(
    "facet",
    metadata,
    Column("entry_id", Number, ForeignKey("entry.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, primary_key=True),
)
Index("facet_value", facet.c.name, facet.c.value, facet.c.entry_id)

#: What a search looks through: of each entry the newest public version.
entry_text = Table(
    "entry_text",
    metadata,
    Column("entry_id", Number, ForeignKey("entry.id"), primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    # The entry's own name, tags, authors, data sets.
    Column("names", Text, nullable=False),
    Column("abstract", Text, nullable=False),
    Column("words", Text, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", Number, primary_key=True),
    # Of no entry where somebody's own notebook runs.
    Column("entry_id", Number, ForeignKey("entry.id")),
    Column("version", Integer),
    Column("purpose", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("notebook", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("image_digest", Text),
    Column("queued_at", BigInteger, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("outcome", Text),
    Column("failed_cell", Integer),
    Column("error", Text),
    Column("seconds", Float),
    Column("peak_bytes", BigInteger),
    Column("credits", BigInteger),
    Column("lease", BigInteger),
    # The server's name at the hub, until it is known to be gone.
    Column("server", Text),
    # Who pays and in which size, where somebody's own notebook says so.
    Column("account", Text),
    Column("size", Text),
    # Where the notebook with its outputs is in the home.
    Column("result", Text),
    Column("tries", Integer, nullable=False, server_default="0"),
    CheckConstraint("purpose IN ('regular', 'image', 'own')", name="purpose"),
    CheckConstraint("outcome IN ('passed', 'failed', 'refused', 'lost', 'cancelled')", name="outcome"),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended"),
)
Index(
    "run_queue",
    run.c.not_before,
    run.c.id,
    sqlite_where=run.c.ended_at.is_(None),
    postgresql_where=run.c.ended_at.is_(None),
)
Index(
    "run_server",
    run.c.server,
    unique=True,
    sqlite_where=run.c.server.is_not(None),
    postgresql_where=run.c.server.is_not(None),
)
Index("run_entry", run.c.entry_id, run.c.id)
Index("run_person", run.c.person, run.c.id)

repository = Table(
    "repository",
    metadata,
    Column("id", Number, primary_key=True),
    Column("url", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("entry_prefix", Text, nullable=False),
    # Whether its owner has said that new versions of what is public go public by themselves.
    Column("at_once", Boolean, nullable=False),
    Column("commit_read", Text),
    Column("read_at", BigInteger),
    Column("problem", Text),
    UniqueConstraint("owner", "url", "branch", "folder", name="repository_owner_url_branch_folder_key"),
)

#: How a database comes to have these tables: `hubquota.storage.migrate.migrate(engine, MIGRATIONS)`.
MIGRATIONS = Migrations(
    Path(__file__).with_name("migrations"), metadata, "romanhub_community_version", 0x726F_6D61_6E63
)
