"""What the portal shows and takes of purges. Carrying a plan out is left to the command, which has the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from hubquota.models.ledger import UnknownAccountError
from hubquota.models.purge import Act, Item, Plan, PurgeEvent, PurgeHold, Stage
from hubquota.models.purge_settings import PurgeSettings
from hubquota.services.purge import Purge
from hubquota.services.settingsfile import load_settings

from romanhub.portal.acts import actor_of, given_reason
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.problems import PortalError, invalid

#: What a person is shown of a plan that no longer counts: only what has been taken from them.
_TAKEN = frozenset({Stage.QUARANTINED, Stage.DELETED, Stage.PURGED, Stage.RESTORED})


@dataclass(frozen=True)
class OwnThing:
    """A thing of somebody's that a plan names, as they are shown it."""

    item: Item
    #: What that means for them, in sentences.
    text: str
    #: Whether they may ask for it back.
    can_ask: bool


@dataclass
class OfAccount:
    """What a plan names of one account."""

    account: str
    things: int = 0
    bytes: int = 0
    files: int = 0
    stages: dict[Stage, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Review:
    """A plan, as an administrator reviews it."""

    plan: Plan
    #: What it names, by number.
    items: tuple[Item, ...]
    #: By account, the largest first.
    accounts: tuple[OfAccount, ...]
    #: How many things are at each stage, in the stages' order.
    stages: dict[Stage, int]


class Purging:
    """Whoever calls has checked that the visitor may read. All methods raise LedgerUnavailableError."""

    def __init__(self, desk: Desk, purge_file: str | None) -> None:
        """Read plans from the ledger.

        Args:
            desk: where the ledger is asked.
            purge_file: the purge's settings; None where nothing is purged, and so nothing can be approved.
        """
        self._desk = desk
        self._file = purge_file

    @property
    def configured(self) -> bool:
        """Whether plans can be approved here."""
        return self._file is not None

    async def settings(self) -> PurgeSettings | None:
        """Return what the settings file says now; raises SettingsFileError where it cannot be used."""
        path = self._file
        return None if path is None else await self._desk.ask(lambda: load_settings(path, PurgeSettings))

    # Reading -----------------------------------------------------------------------------------------

    async def plans(self, *, limit: int, before: int | None = None) -> tuple[list[Plan], int | None]:
        """Return the newest plans first, and what to pass as `before` for older ones; None at the end."""
        found = await self._desk.ask(lambda: self._desk.purges.plans(limit=limit + 1, before=before))
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def review(self, number: int) -> Review:
        """Return a plan and what it names; raises UnknownPurgeError."""
        plan, items = await self._desk.ask(lambda: self._desk.purges.read(number))
        accounts: dict[str, OfAccount] = {}
        stages: dict[Stage, int] = {}
        for item in items:
            one = accounts.setdefault(item.account, OfAccount(item.account))
            one.things, one.bytes, one.files = (
                one.things + 1,
                one.bytes + item.seen.bytes,
                one.files + item.seen.files,
            )
            one.stages[item.stage] = one.stages.get(item.stage, 0) + 1
            stages[item.stage] = stages.get(item.stage, 0) + 1
        return Review(
            plan=plan,
            items=tuple(sorted(items, key=lambda item: item.id)),
            accounts=tuple(sorted(accounts.values(), key=lambda one: (-one.bytes, one.account))),
            stages={stage: stages[stage] for stage in Stage if stage in stages},
        )

    async def events(self, number: int) -> list[PurgeEvent]:
        """Return what was done under a plan, newest first; raises UnknownPurgeError."""

        def read() -> list[PurgeEvent]:
            self._desk.purges.read(number)
            return self._desk.purges.events(number)[::-1]

        return await self._desk.ask(read)

    async def holds(self, *, lifted: bool = False) -> list[PurgeHold]:
        """Return the accounts on hold, and with `lifted` those that were, newest first."""
        found = await self._desk.ask(lambda: self._desk.purges.holds(lifted=lifted))
        return found[::-1]

    async def hold_of(self, account: str) -> PurgeHold | None:
        """Return the hold that an account is on, if it is."""
        return next((one for one in await self.holds() if one.account == account), None)

    async def things(self, account: str) -> list[OwnThing]:
        """Return what plans name, or have taken, of an account; of one that there is not, nothing."""

        def read() -> list[OwnThing]:
            try:
                items = self._desk.purges.items_of(account)
            except UnknownAccountError:
                return []
            plans = self._desk.purges.plans_of(items)
            return [_own(item) for item in reversed(items) if _shown(item, plans[item.plan])]

        return await self._desk.ask(read)

    # Acting ------------------------------------------------------------------------------------------

    async def approve(self, visitor: Visitor, number: int, *, digest: str, override: str | None = None) -> Plan:
        """Let a plan be carried out by the next run; raises what `Plans.approve` raises, and PortalError."""
        path = self._file
        if path is None:
            raise PortalError(HTTPStatus.CONFLICT, NOT_CONFIGURED, title="Nothing is purged here")

        def approving() -> Plan:
            graces = {name: tier.grace_days for name, tier in self._desk.tiers.tiers.items()}
            service = Purge.reviewing(self._desk.purges, load_settings(path, PurgeSettings), graces)
            return service.approve(number, by=actor_of(visitor), digest=digest, override=override)

        return await self._desk.act(approving)

    async def cancel(self, visitor: Visitor, number: int, *, reason: str) -> Plan:
        """Stop a plan; raises what `PurgeRegister.cancel` raises."""
        return await self._desk.act(
            lambda: self._desk.purges.cancel(number, by=actor_of(visitor), reason=given_reason(reason))
        )

    async def hold(self, visitor: Visitor, account: str, *, reason: str) -> None:
        """Put an account on hold; raises what `PurgeRegister.hold` raises."""
        if not account:
            raise invalid("Say which account to put on hold.")
        await self._desk.act(
            lambda: self._desk.purges.hold(account, by=actor_of(visitor), reason=given_reason(reason))
        )

    async def release(self, visitor: Visitor, account: str, *, reason: str) -> None:
        """Lift the hold on an account; raises what `PurgeRegister.release` raises."""
        await self._desk.act(
            lambda: self._desk.purges.release(account, by=actor_of(visitor), reason=given_reason(reason))
        )

    async def ask_back(self, visitor: Visitor, number: int) -> OwnThing:
        """Ask for a thing that was taken; raises what `PurgeRegister.ask_back` raises."""
        return _own(await self._desk.act(lambda: self._desk.purges.ask_back(number, by=actor_of(visitor))))


#: What is said where no purge is set up for the portal.
NOT_CONFIGURED = (
    "No purge is configured for the portal, so no plan can be approved here. Whoever runs the platform sets "
    "HUBQUOTA_PURGE to the purge's settings file."
)


def state_of_plan(plan: Plan) -> str:
    """Return where a plan is, as a sentence."""
    if plan.closed_reason is not None:
        return f"It no longer counts. {plan.closed_reason}"
    if plan.approved_at is None:
        return "It waits for approval."
    passed = f" The limits were passed over: {plan.override}" if plan.override else ""
    return f"It was approved on {plan.approved_at:%Y-%m-%d} by {plan.approved_by}.{passed}"


def totals(accounts: Sequence[OfAccount]) -> OfAccount:
    """Return all accounts of a plan together."""
    return OfAccount(
        "",
        sum(one.things for one in accounts),
        sum(one.bytes for one in accounts),
        sum(one.files for one in accounts),
    )


def _shown(item: Item, plan: Plan) -> bool:
    if item.stage in _TAKEN:
        return True
    return item.stage is not Stage.LEFT_ALONE and plan.closed_reason is None


def _own(item: Item) -> OwnThing:
    taken = item.stage in (Stage.QUARANTINED, Stage.DELETED)
    can_ask = taken and item.asked_by is None and item.doing is not Act.DISCARD
    return OwnThing(item, _meaning(item), can_ask)


def _meaning(item: Item) -> str:
    day = f"{item.due:%Y-%m-%d}" if item.due else None
    if item.asked_by is not None and item.stage is not Stage.RESTORED:
        return (
            f"{item.asked_by} has asked for it back. It comes with the next run of the purge, within a day or so."
        )
    match item.stage:
        case Stage.PLANNED:
            return "A plan names it. Nothing is done before you have been told."
        case Stage.NOTICED:
            return f"It will be moved to an archive on {day}." if day else "It will be moved to an archive."
        case Stage.ARCHIVED:
            return "A copy of it is in the archive. It is still where it was, and will be moved aside."
        case Stage.QUARANTINED:
            return f"It was moved aside, and will be deleted on {day}." if day else "It was moved aside."
        case Stage.DELETED:
            return f"It was deleted. It can be restored until {day}." if day else "It was deleted."
        case Stage.PURGED:
            return "It was deleted, and the time in which it could be restored is over."
        case Stage.RESTORED:
            return f"It was brought back{f' to {item.place}' if item.place else ''}."
        case _:
            return f"It was left alone{f': {item.reason}' if item.reason else ''}."
