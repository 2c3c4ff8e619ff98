"""Opening a user's account by the rules of the tiers file: at sign-in, at the first start, or by the watch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hubquota.models.ledger import Account
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger


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
    first = tiers.tier_for(set(groups), claims)
    opened = tiers.tiers[first]
    return ledger.open_account(
        name,
        first,
        opened.budget_units,
        actor=actor,
        term_days=opened.term_days,
        renewable=opened.renewable,
    )
