"""Opening a user's account by the rules of the tiers file: at sign-in, at the first start, or by the watch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hubquota.models.ledger import Account
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.opening import first_allocation


def open_first_account(
    ledger: Ledger,
    tiers: Tiers,
    name: str,
    groups: Collection[str],
    claims: Mapping[str, Any] | None,
    *,
    actor: str,
) -> Account:
    """Return a user's account; if there is none, open one on the tier that the rules of the tiers file say.

    Raises:
        Refused: the name is a project's.
    """
    return open_account_of(ledger, tiers, name, tiers.tier_for(set(groups), claims), actor=actor)


def open_account_of(ledger: Ledger, tiers: Tiers, name: str, tier: str, *, actor: str) -> Account:
    """Return a user's account; if there is none, open one on a tier, with its budget and term.

    Raises:
        Refused: the name is a project's.
        KeyError: there is no such tier.
    """
    first = first_allocation(tiers, tier)
    return ledger.open_account(
        name, tier, first.units, actor=actor, term_days=first.term_days, renewable=first.renewable
    )
