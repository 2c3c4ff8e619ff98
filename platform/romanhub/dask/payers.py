"""Which accounts a person's clusters may draw on, and what they are entitled to there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hubquota.models.entitlement import Entitlement
from hubquota.models.kinds import SERVER, WORKER
from hubquota.models.ledger import Refused
from hubquota.models.money import format_credits
from hubquota.models.tiers import Tiers
from hubquota.models.words import duration_text, number_text
from hubquota.services.ledger import MINIMUM_SECONDS, Ledger

#: The kind of a server's lease.

#: Who opens an account and closes a worker's lease, in the journal.
ACTOR = "dask-gateway"

#: Why a lease ended that never began.
NOT_STARTED = "The worker did not start."

#: Why a worker's lease ended where nobody stopped it for a reason.
ENDED = "The worker has ended."


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


def check_start(
    ledger: Ledger, tiers: Tiers, payers: Payers, account: object, person: str, running: Sequence[str]
) -> None:
    """Check that a person may start a cluster that an account pays for.

    Parameters
    ----------
    ledger, tiers
        The ledger, and what the tiers file says.
    payers
        The accounts that the person may draw on.
    account
        The one that they chose.
    person
        Who asks.
    running
        The names of the clusters that this account pays for already.

    Raises
    ------
    Refused
        With the limit that is reached, why the last workers were stopped, and how to ask for more.
    """
    entitlement = payers.chosen(account, tiers.ask)
    name, tier = entitlement.account.name, entitlement.tier
    own = name == person
    if len(running) >= tier.dask.clusters:
        whose = f"Your tier, {tier.title}," if own else f"The tier of {name}, {tier.title},"
        raise Refused(
            limit="count",
            message=f"{whose} allows {number_text(tier.dask.clusters, 'Dask cluster')} at a time and "
            f"{'you have' if own else 'there are'} {len(running)} ({', '.join(running) or 'none'}). "
            f"Stop one first. {tiers.ask}",
        )
    why = last_stop(ledger, name, person)
    available, needed = ledger.balance(name).available, tier.dask.rate * MINIMUM_SECONDS
    if available <= 0 or available < needed:
        whose = "Your balance" if own else f"The balance of {name}"
        left = (
            "is used up"
            if available <= 0
            else f"is {format_credits(available)} credits, which does not pay for a worker's first "
            f"{duration_text(MINIMUM_SECONDS)}"
        )
        text = f"{whose} {left}, so no Dask cluster can start."
        raise Refused(limit="budget", message=" ".join(filter(None, (text, why, tiers.ask))))
    for use in ledger.member_use(name):
        if use.member == person and use.left is not None and use.left < needed:
            text = (
                f"Your cap on {name} leaves {format_credits(max(0, use.left))} credits, so no Dask cluster can "
                "start on it."
            )
            more = "A PI of the project or an administrator can raise it."
            raise Refused(limit="cap", message=" ".join(filter(None, (text, why, more))))


def last_stop(ledger: Ledger, account: str, person: str) -> str:
    """Why a person's last workers on an account were stopped, as a sentence; nothing where they just ended."""
    for lease in ledger.statement(account, limit=20).ended:
        if lease.kind == WORKER and lease.person == person:
            if lease.reason in (None, ENDED, NOT_STARTED) or lease.ended_at is None:
                return ""
            return f"Your last workers were stopped on {lease.ended_at:%Y-%m-%d at %H:%M} UTC: {lease.reason}"
    return ""
