"""Whether the ledger lets somebody at the storage, and which scratch spaces are theirs."""

from __future__ import annotations

from dataclasses import dataclass

from hubquota.models.ledger import Refused
from hubquota.models.states import State
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger

#: Where an account may be for its people to read: also in grace, to fetch what is theirs.
_READS = frozenset(
    {State.ACTIVE, State.EXPIRING, State.EXHAUSTED, State.EXPIRED, State.REVOKED, State.GRACE, State.APPROVED}
)


@dataclass(frozen=True)
class Standing:
    """What the ledger says of somebody."""

    #: Why they get no keys; None where they do.
    refusal: str | None
    #: The accounts that they may draw on and whose data is theirs.
    accounts: tuple[str, ...]


def standing_of(ledger: Ledger, tiers: Tiers, person: str) -> Standing:
    """Return where somebody stands: suspended, purged, or welcome.

    Who has been suspended gets nothing, whatever projects they are in. Whose own account is archived or purged,
    or who has none, gets in by a project that is not.
    """
    refusals: list[str] = []
    accounts: list[str] = []
    for summary in ledger.drawable(person):
        name = summary.account.name
        try:
            found = ledger.entitlement(tiers, name, person)
        except Refused as refused:
            refusals.append(refused.message)
            continue
        why = found.refusal.message if found.refusal is not None else f"The account {name} is not open."
        if found.state is State.SUSPENDED and name == person:
            return Standing(why, ())
        if found.state is None or found.state in _READS:
            accounts.append(name)
        else:
            refusals.append(why)
    if accounts:
        return Standing(None, tuple(accounts))
    if refusals:
        return Standing(" ".join(refusals[:1]), ())
    return Standing(
        f"{person} has no account yet, and so no keys for the data. Start a server once: that opens it.", ()
    )
