"""Dated allocations, projects, segments, holds and requests.

What the first form had is carried over. An account's credits become one allocation of its tier without an
end; the first grant opened it, and later grants are supplements to it. Leases and journal keep their lines,
their keys and their amounts. What an open lease had set aside becomes its hold.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_REFUSAL = "the journal is append-only: post a correction instead"

#: Seconds after what a hold covers, or after an admission that has not begun, until nobody respects it.
_AFTER_COVER = 3600


def upgrade() -> None:
    """Change the tables, and carry over what is in them."""
    # A table whose constraints change is made anew: SQLite cannot change them in place.
    for name in ("lease", "entry"):
        op.execute(f"CREATE TABLE {name}_before AS SELECT * FROM {name}")
    op.drop_table("entry")
    op.drop_table("lease")
    _create_allocations()
    _create_leases()
    _create_journal()
    _create_requests()
    _carry_over()
    _keep_append_only()
    for name in ("lease", "entry"):
        op.drop_table(f"{name}_before")


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _create_allocations() -> None:
    op.create_table(
        "membership",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger()),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="membership_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="membership_account_id_fkey"),
        sa.CheckConstraint("role IN ('member', 'pi')", name=op.f("membership_role_check")),
    )
    _partial_index("membership_current", "membership", ["account_id", "member"], "until_at IS NULL", unique=True)
    op.create_index("membership_member", "membership", ["member"])
    op.create_table(
        "allocation",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("renewable", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("end_at", sa.BigInteger()),
        sa.Column("suspended_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("lapsed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="allocation_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="allocation_account_id_fkey"),
    )
    _partial_index("allocation_open_account", "allocation", ["account_id"], "lapsed_at IS NULL")
    _partial_index("allocation_open_end", "allocation", ["end_at"], "lapsed_at IS NULL")
    op.create_index("allocation_account", "allocation", ["account_id", "id"])


def _create_leases() -> None:
    op.create_table(
        "lease",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("rate", sa.BigInteger(), nullable=False),
        sa.Column("admitted_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("seen_at", sa.BigInteger()),
        sa.Column("settled_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="lease_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="lease_account_id_fkey"),
        sa.CheckConstraint("rate >= 0 AND charged >= 0", name=op.f("lease_amounts_check")),
        sa.CheckConstraint(
            "ended_at IS NULL OR started_at IS NULL OR ended_at >= started_at",
            name=op.f("lease_order_check"),
        ),
        sa.CheckConstraint("(started_at IS NULL) = (settled_at IS NULL)", name=op.f("lease_settled_check")),
        sa.CheckConstraint("started_at IS NOT NULL OR charged = 0", name=op.f("lease_charged_if_begun_check")),
    )
    _partial_index("lease_open_key", "lease", ["key"], "ended_at IS NULL", unique=True)
    op.create_table(
        "segment",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("lease_id", _number(), nullable=False),
        sa.Column("rate", sa.BigInteger(), nullable=False),
        sa.Column("from_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger()),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="segment_pkey"),
        sa.ForeignKeyConstraint(["lease_id"], ["lease.id"], name="segment_lease_id_fkey"),
        sa.CheckConstraint("until_at IS NULL OR until_at >= from_at", name=op.f("segment_order_check")),
    )
    op.create_index("segment_lease", "segment", ["lease_id", "id"])
    op.create_table(
        "hold",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("lease_id", _number(), nullable=False),
        sa.Column("allocation_id", _number(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("covers_until", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="hold_pkey"),
        sa.ForeignKeyConstraint(["lease_id"], ["lease.id"], name="hold_lease_id_fkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="hold_allocation_id_fkey"),
        sa.CheckConstraint("amount > 0", name=op.f("hold_amount_check")),
    )
    op.create_index("hold_lease", "hold", ["lease_id", "id"])
    op.create_index("hold_allocation", "hold", ["allocation_id"])
    op.create_index("hold_expires", "hold", ["expires_at"])


def _create_journal() -> None:
    op.create_table(
        "entry",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("allocation_id", _number(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("allocation_after", sa.BigInteger(), nullable=False),
        sa.Column("end_at", sa.BigInteger()),
        sa.Column("lease_id", _number()),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="entry_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="entry_account_id_fkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="entry_allocation_id_fkey"),
        sa.ForeignKeyConstraint(["lease_id"], ["lease.id"], name="entry_lease_id_fkey"),
        sa.UniqueConstraint("idempotency_key", name="entry_idempotency_key_key"),
        sa.CheckConstraint(
            "kind IN ('grant', 'supplement', 'extension', 'transfer-out', 'transfer-in', 'charge', 'correction', "
            "'suspension', 'resumption', 'revocation', 'expiry')",
            name=op.f("entry_kind_check"),
        ),
        sa.CheckConstraint(
            "amount <> 0 OR kind IN ('grant', 'extension', 'suspension', 'resumption', 'revocation', 'expiry')",
            name=op.f("entry_amount_check"),
        ),
    )
    op.create_index("entry_account", "entry", ["account_id", "id"])
    op.create_index("entry_allocation", "entry", ["allocation_id", "id"])
    op.create_index("entry_lease", "entry", ["lease_id"])


def _create_requests() -> None:
    op.create_table(
        "request",
        sa.Column("id", _number(), primary_key=True),
        sa.Column("account_id", _number(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("renews_id", _number()),
        sa.Column("justification", sa.Text(), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text()),
        sa.Column("decided_by", sa.Text()),
        sa.Column("decided_at", sa.BigInteger()),
        sa.Column("decision_reason", sa.Text()),
        sa.Column("allocation_id", _number()),
        sa.PrimaryKeyConstraint("id", name="request_pkey"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="request_account_id_fkey"),
        sa.ForeignKeyConstraint(["renews_id"], ["allocation.id"], name="request_renews_id_fkey"),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name="request_allocation_id_fkey"),
        sa.CheckConstraint("decision IN ('approved', 'denied', 'withdrawn')", name=op.f("request_decision_check")),
        sa.CheckConstraint("(decision IS NULL) = (decided_at IS NULL)", name=op.f("request_decided_check")),
        sa.CheckConstraint("amount > 0 AND used >= 0", name=op.f("request_amounts_check")),
    )
    _partial_index("request_open", "request", ["account_id", "tier"], "decided_at IS NULL", unique=True)
    op.create_index("request_account", "request", ["account_id", "id"])


def _carry_over() -> None:
    # One allocation for every account that the journal has a line of; it has the account's number.
    op.execute(
        "INSERT INTO allocation (id, account_id, tier, renewable, reason, granted_by, granted_at, start_at, "
        "balance) "
        "SELECT id, id, tier, true, 'What the account had before allocations were dated.', 'hubquota migrate', "
        "created_at, created_at, balance FROM account "
        "WHERE EXISTS (SELECT 1 FROM entry_before WHERE entry_before.account_id = account.id) "
        # A charge, a hold or a debt needs an allocation to be on.
        "OR EXISTS (SELECT 1 FROM lease_before WHERE lease_before.account_id = account.id AND rate > 0)"
    )
    op.execute(
        "INSERT INTO lease (id, account_id, person, kind, key, label, rate, admitted_at, started_at, seen_at, "
        "settled_at, ended_at, charged, reason) "
        "SELECT l.id, l.account_id, a.name, l.kind, l.key, l.label, l.rate, l.admitted_at, l.started_at, "
        "l.seen_at, "
        "CASE WHEN l.started_at IS NULL THEN NULL WHEN l.ended_at IS NULL THEN l.started_at ELSE l.ended_at END, "
        "l.ended_at, l.charged, l.reason FROM lease_before l JOIN account a ON a.id = l.account_id"
    )
    op.execute(
        "INSERT INTO segment (lease_id, rate, from_at, until_at, charged) "
        "SELECT id, rate, started_at, ended_at, charged FROM lease_before WHERE started_at IS NOT NULL ORDER BY id"
    )
    covered = "coalesce(started_at, admitted_at) + set_aside / rate"
    op.execute(
        "INSERT INTO hold (lease_id, allocation_id, amount, covers_until, expires_at) "
        f"SELECT id, account_id, set_aside, {covered}, "
        f"CASE WHEN started_at IS NULL THEN admitted_at ELSE {covered} END + {_AFTER_COVER} FROM lease_before "
        "WHERE ended_at IS NULL AND set_aside > 0 AND rate > 0 ORDER BY id"
    )
    first = "(SELECT min(f.id) FROM entry_before f WHERE f.account_id = e.account_id AND f.kind = 'grant')"
    op.execute(
        "INSERT INTO entry (id, account_id, allocation_id, at, kind, amount, balance_after, allocation_after, "
        "lease_id, actor, reason, idempotency_key) "
        "SELECT e.id, e.account_id, e.account_id, e.at, "
        f"CASE WHEN e.kind = 'grant' AND e.id > {first} THEN 'supplement' ELSE e.kind END, "
        "e.amount, e.balance_after, e.balance_after, e.lease_id, e.actor, e.reason, e.idempotency_key "
        "FROM entry_before e"
    )
    if op.get_bind().dialect.name == "postgresql":
        for name in ("allocation", "lease", "entry"):
            op.execute(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name})) "
                f"WHERE EXISTS (SELECT 1 FROM {name})"
            )
    # Every allocation is opened by a grant, of nothing if need be.
    op.execute(
        "INSERT INTO entry (account_id, allocation_id, at, kind, amount, balance_after, allocation_after, actor, "
        "reason, idempotency_key) "
        "SELECT account_id, id, granted_at, 'grant', 0, balance, balance, granted_by, reason, "
        "'carried-over:' || id "
        "FROM allocation a WHERE NOT EXISTS "
        "(SELECT 1 FROM entry e WHERE e.allocation_id = a.id AND e.kind = 'grant') ORDER BY id"
    )


def _keep_append_only() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry "
            "FOR EACH STATEMENT EXECUTE FUNCTION entry_append_only()"
        )
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER entry_append_only_{event.lower()} BEFORE {event} ON entry "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(
        name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
