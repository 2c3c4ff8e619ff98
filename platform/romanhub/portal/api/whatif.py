"""What another tiers file would have done to the use of a range of time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from hubquota.models.ledger import AccountKind
from hubquota.models.whatif import Budgets, Outcome, Sums
from hubquota.services.whatif import Report
from hubquota.storage.times import moment
from pydantic import Field

from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.gate import Gate
from romanhub.portal.inputs import Input, Moment, Text
from romanhub.portal.models import Amount, Answer
from romanhub.portal.problems import described
from romanhub.portal.trying import LONGEST_FILE, Trying


class SumsModel(Answer):
    """What came of leases; priced is charged, refused and stopped together. Amounts are credits."""

    leases: int
    actual: Amount = Field(description="What they were charged for.")
    priced: Amount = Field(description="The same use at the file's prices.")
    charged: Amount = Field(description="What of that would have run.")
    refused: Amount = Field(description="What of it belongs to starts that would have been refused.")
    stopped: Amount = Field(description="What of it would have come after the credits were out.")
    refused_starts: int
    stopped_leases: int


class TierSumsModel(SumsModel):
    """What came of one tier's leases."""

    tier: str


class RefusedModel(Answer):
    """A start that would have been refused."""

    lease: int
    person: str
    label: str
    at: datetime
    limit: str = Field(description="Which limit would have refused it.")


class OutcomeModel(SumsModel):
    """What would have come of one account, for which something would have been refused or stopped."""

    account: str
    kind: AccountKind
    tiers: tuple[str, ...]
    ran_out: tuple[datetime, ...] = Field(description="When its credits would have been out.")
    refusals: tuple[RefusedModel, ...]


class UnmappedModel(Answer):
    """Leases that say too little for the file's prices, and keep the price that they had."""

    kind: str
    label: str
    leases: int
    priced: Amount


class WhatIfModel(Answer):
    """What a tiers file would have done to the use of a range of time."""

    since: datetime
    until: datetime
    budgets: Budgets
    accounts: int = Field(description="How many accounts ran something or had an allocation.")
    accounts_out: int = Field(description="How many of them would have run out of credits.")
    total: SumsModel
    tiers: tuple[TierSumsModel, ...]
    outcomes: tuple[OutcomeModel, ...]
    unmapped: tuple[UnmappedModel, ...]
    assumptions: tuple[str, ...] = Field(description="What is taken for granted, as sentences.")


class WhatIfInput(Input):
    """A tiers file to try, and on what."""

    tiers: Annotated[Text, Field(min_length=1, max_length=LONGEST_FILE, description="The file's text, as YAML.")]
    since: Annotated[Moment, Field(description="The first moment.")]
    until: Annotated[Moment | None, Field(description="The first moment after the range; now if null.")] = None
    budgets: Annotated[
        Budgets,
        Field(
            description="What each allocation has: its tier's budget in the file, what it was really granted, or "
            "no end."
        ),
    ] = "tier"


def routes(gate: Gate, desk: Desk, trying: Trying) -> APIRouter:
    """The route of another tiers file."""
    router = APIRouter(tags=["administration"])
    admin = Depends(gate.admin)

    @router.post("/what-if", responses=described(409))
    async def what_if(given: WhatIfInput, _visitor: Visitor = admin) -> WhatIfModel:
        """Say what another tiers file would have done to the use of a range of time. It changes nothing.

        It takes `custom:romanhub:allocations:admin`, one at a time, and is stopped after a deadline.
        """
        return _report(await trying.run(given.tiers, given.since, given.until, budgets=given.budgets))

    return router


def _sums(sums: Sums) -> dict[str, object]:
    return {name: getattr(sums, name) for name in SumsModel.model_fields}


def _outcome(one: Outcome) -> OutcomeModel:
    return OutcomeModel.model_validate(
        {
            **_sums(one.sums),
            "account": one.account,
            "kind": one.kind,
            "tiers": one.tiers,
            "ran_out": tuple(moment(at) for at in one.ran_out),
            "refusals": tuple(
                RefusedModel(
                    lease=refused.lease,
                    person=refused.person,
                    label=refused.label,
                    at=moment(refused.at),
                    limit=refused.limit,
                )
                for refused in one.refused
            ),
        }
    )


def _report(report: Report) -> WhatIfModel:
    return WhatIfModel(
        since=report.since,
        until=report.until,
        budgets=report.budgets,
        accounts=report.accounts,
        accounts_out=report.accounts_out,
        total=SumsModel.model_validate(_sums(report.total)),
        tiers=tuple(
            TierSumsModel.model_validate({**_sums(sums), "tier": tier}) for tier, sums in report.tiers.items()
        ),
        outcomes=tuple(_outcome(one) for one in report.outcomes),
        unmapped=tuple(
            UnmappedModel(kind=kind, label=label, leases=one.leases, priced=one.priced)
            for (kind, label), one in sorted(report.unmapped.items())
        ),
        assumptions=report.assumptions,
    )
