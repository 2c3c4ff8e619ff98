"""Servers that run without a lease: started past the ledger or before it was put in, or whose lease was lost."""

from __future__ import annotations

import logging
from datetime import datetime

from hubquota.hub.accounts import open_first_account
from hubquota.hub.api import Server
from hubquota.hub.form import ACCOUNT, SIZE
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Lease
from hubquota.models.tiers import Size, Tiers
from hubquota.services.ledger import Ledger

log = logging.getLogger(__name__)


def adopt(ledger: Ledger, tiers: Tiers, server: Server, key: str, now: datetime) -> Lease:
    """Open a lease for a server that runs, from its real start; from then on it is like any other.

    Who pays and at which price follows from what the start was asked for with. Where that says nothing that
    the ledger knows, the user's own account pays for the default size of its tier.

    Args:
        ledger: the ledger.
        tiers: what the tiers file says.
        server: the server, as the hub knows it.
        key: the key of its lease.
        now: the time.
    """
    first = tiers.tier_for(server.groups)
    own = open_first_account(ledger, tiers, server.user, server.groups, None, actor="watch")
    drawable = {row.account.name: row.account for row in ledger.drawable(server.user)}
    wanted = server.options.get(ACCOUNT)
    payer = drawable.get(wanted, own) if isinstance(wanted, str) else own
    tier = tiers.largest(payer.tiers)
    size = _size_of(tiers, tier if tier in tiers.tiers else first, server.options.get(SIZE))
    log.warning("%s runs without a lease; it gets one from its start on, at %s's cost.", key, payer.name)
    return ledger.adopt(
        payer.name,
        person=server.user,
        kind=SERVER,
        key=key,
        label=f"{size.title} server",
        rate=size.rate,
        tier=tier,
        started=min(server.started or now, now),
        actor="watch",
    )


def _size_of(tiers: Tiers, tier: str, wanted: object) -> Size:
    # It runs, so it does not matter whether the tier offers it.
    name = wanted if isinstance(wanted, str) and wanted in tiers.sizes else tiers.tiers[tier].default_size
    return tiers.sizes[name]
