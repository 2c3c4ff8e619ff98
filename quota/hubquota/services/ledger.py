"""The ledger: who may start what, what it has cost, and why.

Every method is one transaction. Nothing that a method decided on can have changed when it writes: on
SQLite the transaction holds the write lock from its first statement, on PostgreSQL the account's row.
"""

from __future__ import annotations

from hubquota.models.admissions import MINIMUM_SECONDS
from hubquota.services.adoption import Adoption
from hubquota.services.allocations import Allocations
from hubquota.services.base import utc_now
from hubquota.services.caps import Caps
from hubquota.services.clusters import Clusters
from hubquota.services.leases import Leases
from hubquota.services.leaseviews import LeaseViews
from hubquota.services.notices import Notices
from hubquota.services.opening import Opening
from hubquota.services.outlook import Outlooks
from hubquota.services.overrides import Overrides
from hubquota.services.starts import Starts
from hubquota.services.sweep import Sweeping
from hubquota.services.tierchange import TierChange

__all__ = ["MINIMUM_SECONDS", "Ledger", "utc_now"]


class Ledger(
    Caps,
    Opening,
    Allocations,
    Starts,
    Leases,
    LeaseViews,
    Adoption,
    Outlooks,
    Overrides,
    Clusters,
    TierChange,
    Notices,
    Sweeping,
):
    """The ledger in one database: accounts, allocations, leases, clusters, overrides, caps, notices, the sweep."""
