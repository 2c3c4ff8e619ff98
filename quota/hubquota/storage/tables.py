"""The ledger's tables. Amounts are whole units; times are whole seconds since 1970 in UTC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

#: Where the migrations note how far they have come.
VERSION_TABLE = "hubquota_version"

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

#: SQLite numbers rows by itself only in a column that is exactly INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

account = Table(
    "account",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("name"),
)

lease = Table(
    "lease",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("rate", BigInteger, nullable=False),
    Column("set_aside", BigInteger, nullable=False),
    Column("admitted_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("seen_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("charged", BigInteger, nullable=False),
    Column("reason", Text),
    CheckConstraint("rate >= 0 AND set_aside >= 0 AND charged >= 0", name="amounts"),
    CheckConstraint("ended_at IS NULL OR started_at IS NULL OR ended_at >= started_at", name="order"),
    CheckConstraint("ended_at IS NOT NULL OR charged = 0", name="charged_at_end"),
)
# One open lease a key, whoever asks and however many ask at once.
Index(
    "lease_open_key",
    lease.c.key,
    unique=True,
    sqlite_where=lease.c.ended_at.is_(None),
    postgresql_where=lease.c.ended_at.is_(None),
)
# An admission reads the account's open leases only: its cost does not grow with the account's history.
Index(
    "lease_open_account",
    lease.c.account_id,
    sqlite_where=lease.c.ended_at.is_(None),
    postgresql_where=lease.c.ended_at.is_(None),
)
Index("lease_account", lease.c.account_id, lease.c.id)

entry = Table(
    "entry",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account_id", _Id, ForeignKey("account.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("lease_id", _Id, ForeignKey("lease.id")),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    UniqueConstraint("idempotency_key"),
    CheckConstraint("kind IN ('grant', 'charge', 'correction')", name="kind"),
    CheckConstraint("amount <> 0", name="amount"),
)
Index("entry_account", entry.c.account_id, entry.c.id)
