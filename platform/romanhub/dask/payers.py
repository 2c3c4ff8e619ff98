"""Which accounts a person's clusters may draw on, and why the last ones ended there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hubquota.models.entitlement import Entitlement
from hubquota.models.kinds import SERVER, WORKER
from hubquota.models.ledger import Refused
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger

#: Who opens an account and closes a worker's lease, in the journal.
ACTOR = "dask-gateway"

#: Why a lease ended that never began.
NOT_STARTED = "The worker did not start."

#: Why a worker's lease ended where nobody stopped it for a reason.
ENDED = "The worker has ended."

#: The same of a cluster that never began, and of one that its owner stopped.
CLUSTER_NOT_STARTED = "The cluster did not start."
STOPPED = "The cluster was stopped."

#: Why a cluster ended whose scheduler nobody stopped.
SCHEDULER_ENDED = "The cluster's scheduler ended."
NO_ANSWER = "The cluster's scheduler did not answer any more."


#: Reasons that say of no limit.
_NO_STOP = (None, ENDED, NOT_STARTED, STOPPED, SCHEDULER_ENDED, NO_ANSWER)


@dataclass(frozen=True)
class Payers:
    """The accounts that a person may draw on, their own first, and which of them pays unless they choose."""

    entitlements: dict[str, Entitlement]
    default: str

    def chosen(self, name: object, ask: str) -> Entitlement:
        """Return the entitlement on the account of a name.

        Raises
        ------
        Refused
            They may not draw on it, or nothing can be started on it.
        """
        entitlement = self.entitlements.get(name) if isinstance(name, str) else None
        if entitlement is None:
            raise Refused(
                limit="account",
                message=f"You cannot draw on an account '{str(name)[:80]}'; you can on: "
                f"{', '.join(self.entitlements)}. {ask}",
            )
        entitlement.check()
        return entitlement


def payers_for(ledger: Ledger, tiers: Tiers, person: str, groups: Collection[str]) -> Payers:
    """The accounts that a person may draw on. Their own is opened where they have none yet.

    The one that their servers draw on pays by default where that is a single one, otherwise their own.

    Raises
    ------
    Refused
        Every one of them is on a tier that the tiers file no longer has.
    """
    first = tiers.tier_for(groups)
    opened = tiers.tiers[first]
    ledger.open_account(
        person,
        first,
        opened.budget_units,
        actor=ACTOR,
        term_days=opened.term_days,
        renewable=opened.renewable,
    )
    found: dict[str, Entitlement] = {}
    refusal: Refused | None = None
    for row in ledger.drawable(person):
        try:
            found[row.account.name] = ledger.entitlement(tiers, row.account.name, person)
        except Refused as refused:
            refusal = refusal or refused
    if not found:
        assert refusal is not None
        raise refusal
    paying = {lease.account for lease in ledger.open_leases(SERVER, person=person)} & set(found)
    default = paying.pop() if len(paying) == 1 else next(iter(found))
    return Payers(found, default)


def last_stop(ledger: Ledger, account: str, person: str) -> str:
    """Why a person's last workers on an account were stopped, as a sentence; nothing where they just ended."""
    for lease in ledger.statement(account, limit=20).ended:
        if lease.kind == WORKER and lease.person == person:
            if lease.reason in _NO_STOP or lease.end_kind is not None or lease.ended_at is None:
                # A worker that was stopped for a limit has no kind of an end of its own.
                return ""
            return f"Your last workers were stopped on {lease.ended_at:%Y-%m-%d at %H:%M} UTC: {lease.reason}"
    return ""
