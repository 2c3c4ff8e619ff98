"""Requests for allocations, and what was decided."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text

from hubquota.storage.tables.base import Number, metadata, partial_index

request = Table(
    "request",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id"), nullable=False),
    Column("tier", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    # The allocation that it asks to follow; empty for a first one.
    Column("renews_id", Number, ForeignKey("allocation.id")),
    Column("justification", Text, nullable=False),
    Column("results", Text, nullable=False),
    # What the term that it follows had used when it was asked for.
    Column("used", BigInteger, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("decision", Text),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("decision_reason", Text),
    Column("allocation_id", Number, ForeignKey("allocation.id")),
    CheckConstraint("decision IN ('approved', 'denied', 'withdrawn')", name="decision"),
    CheckConstraint("(decision IS NULL) = (decided_at IS NULL)", name="decided"),
    CheckConstraint("amount > 0 AND used >= 0", name="amounts"),
)
# Two people who ask for the same thing at once make one request.
partial_index(
    "request_open", request.c.account_id, request.c.tier, where=request.c.decided_at.is_(None), unique=True
)
Index("request_account", request.c.account_id, request.c.id)
# The queue, however many have been decided before.
partial_index("request_queue", request.c.id, where=request.c.decided_at.is_(None))
