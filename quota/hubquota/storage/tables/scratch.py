"""Scratch space with an end, and what was read of the data."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text

from hubquota.storage.tables.base import Number, metadata, partial_index

scratch = Table(
    "scratch",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
    Column("person", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("gib", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    # The lease that pays for it now, or that paid for it last.
    Column("lease_id", Number, ForeignKey("lease.id"), nullable=False),
    # When it came to its end, and why; empty while it is open.
    Column("ended_at", BigInteger),
    Column("reason", Text),
    # What was found in it, in bytes, and when.
    Column("used", BigInteger),
    Column("measured_at", BigInteger),
    # When what was in it was moved aside, and when it was deleted.
    Column("aside_at", BigInteger),
    Column("cleared_at", BigInteger),
    CheckConstraint("gib > 0 AND ends_at > made_at", name="size"),
)
# A name is free again once what was kept under it is gone.
partial_index(
    "scratch_name", scratch.c.account_id, scratch.c.name, where=scratch.c.cleared_at.is_(None), unique=True
)
partial_index("scratch_there", scratch.c.id, where=scratch.c.cleared_at.is_(None))

data_read = Table(
    "data_read",
    metadata,
    Column("person", Text, primary_key=True),
    # The first second of the day, in UTC.
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("dataset", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    # The Dask cluster; empty for a notebook.
    Column("cluster", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    CheckConstraint("bytes >= 0 AND requests >= 0", name="amounts"),
)
Index("data_read_day", data_read.c.day)

# Reports that were counted, so that one that is sent again is not.
data_report = Table(
    "data_report",
    metadata,
    Column("person", Text, primary_key=True),
    Column("report", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
)
Index("data_report_at", data_report.c.at)
