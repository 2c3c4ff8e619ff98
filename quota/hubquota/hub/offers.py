"""What a user is offered on the spawn page, and what a start may use: their entitlement, account by account."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from hubquota.hub.form import Payer
from hubquota.models.entitlement import Offer
from hubquota.models.ledger import Refusal, Refused
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger

_LAST_SAID = "The accounts cannot be read at the moment. When they could be read last, the answer was: {message}"


@dataclass(slots=True)
class Offers:
    """The accounts that somebody may draw on."""

    #: Those on which something can be started, their own first.
    payers: list[Payer]
    #: By the name of each other one, why nothing can.
    closed: dict[str, str]
    #: Why nothing that is paid for can be started on their own; None where something can.
    own: Refusal | None = None


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
            if name == person:
                found.own = refused.refusal
            continue
        if name == person:
            found.own = entitlement.refusal
        sizes, why = entitlement.sizes(tiers), entitlement.refusal.message if entitlement.refusal else ""
        if entitlement.clean_up is not None:
            why = f"{why} {clean_up}".strip()
        if sizes:
            found.payers.append(Payer(name, entitlement.tier_name, row.balance, sizes, why))
        else:
            found.closed[name] = why
    return found


def offer_without_ledger(tiers: Tiers, tier: str, said: Refusal | None) -> Offer:
    """Return what somebody can start while the ledger cannot be asked: no more than it said last.

    Args:
        tiers: what the tiers file says.
        tier: the tier that its rules say for the person.
        said: why the ledger last said that they may not start as anybody; None where it did not.

    Raises:
        Refused: nothing.
    """
    limits = tiers.tiers[tier]
    if said is None:
        return Offer(limits, tiers.sizes_of(tier), clean_up=False, refusal=None)
    refusal = replace(said, message=_LAST_SAID.format(message=said.message))
    clean_up = tiers.clean_up_limits(limits) if said.clean_up else None
    if clean_up is None:
        raise Refused.by(refusal)
    return Offer(clean_up, tiers.clean_up_sizes(clean_up), clean_up=True, refusal=refusal)
