"""Accounts, the parts of their names, and who belongs to a project."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text, UniqueConstraint
from sqlalchemy.dialects import postgresql

from hubquota.storage.tables.base import Number, metadata, partial_index

account = Table(
    "account",
    metadata,
    Column("id", Number, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("name"),
)

# The ends of every account's name, in one case: what a search for a part of a name looks through. They are
# compared letter by letter, whatever language the database is set up for.
account_part = Table(
    "account_part",
    metadata,
    Column("part", Text().with_variant(postgresql.TEXT(collation="C"), "postgresql"), primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

membership = Table(
    "membership",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
    Column("member", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("since_at", BigInteger, nullable=False),
    Column("until_at", BigInteger),
    Column("actor", Text, nullable=False),
    Column("ended_by", Text),
    CheckConstraint("role IN ('member', 'pi')", name="role"),
)
# A person has one role in a project at a time; what they had before stays as history.
partial_index(
    "membership_current",
    membership.c.account_id,
    membership.c.member,
    where=membership.c.until_at.is_(None),
    unique=True,
)
Index("membership_member", membership.c.member)
