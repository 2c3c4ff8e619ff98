"""What a user is offered on the spawn page, and what a start may use: their entitlement, account by account."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hubquota.hub.form import Payer
from hubquota.models.ledger import Refused
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Offers:
    """The accounts that somebody may draw on."""

    #: Those on which something can be started, their own first.
    payers: list[Payer]
    #: By the name of each other one, why nothing can.
    closed: dict[str, str]


def offers_for(
    ledger: Ledger, tiers: Tiers, person: str, groups: Collection[str], *, clean_up: str = ""
) -> Offers:
    """Return what somebody can draw on, after their hub groups' projects are in step.

    Args:
        ledger: the ledger.
        tiers: what the tiers file says.
        person: who it is.
        groups: their hub groups.
        clean_up: what is to be said of a clean-up server where there is one.
    """
    ledger.sync_groups(tiers, person, groups)
    found = Offers([], {})
    for row in ledger.drawable(person):
        name = row.account.name
        try:
            entitlement = ledger.entitlement(tiers, name, person)
        except Refused as refused:
            found.closed[name] = refused.message
            continue
        sizes, why = entitlement.sizes(tiers), entitlement.refusal.message if entitlement.refusal else ""
        if entitlement.clean_up is not None:
            why = f"{why} {clean_up}".strip()
        if sizes:
            found.payers.append(Payer(name, entitlement.tier_name, row.balance, sizes, why))
        else:
            found.closed[name] = why
    return found
