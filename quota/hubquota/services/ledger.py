"""The ledger: who may start what, what it has cost, and why.

Every method is one transaction. Nothing that a method decided on can have changed when it writes: on
SQLite the transaction holds the write lock from its first statement, on PostgreSQL the account's row.
"""

from __future__ import annotations

from hubquota.services.allocations import Allocations
from hubquota.services.base import utc_now
from hubquota.services.caps import Caps
from hubquota.services.leases import MINIMUM_SECONDS, Leases
from hubquota.services.overrides import Overrides
from hubquota.services.projects import GroupProjects
from hubquota.services.sweep import Sweeping
from hubquota.services.tierchange import TierChange

__all__ = ["MINIMUM_SECONDS", "Ledger", "utc_now"]


class Ledger(Caps, Allocations, Leases, Overrides, GroupProjects, TierChange, Sweeping):
    """The ledger in one database: accounts, allocations, leases, overrides, caps and the sweep."""
