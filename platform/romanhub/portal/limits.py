"""Other limits than the tier's, other tiers, and caps of members: for pages and API alike."""

from __future__ import annotations

from datetime import datetime

from hubquota.models.caps import Cap, MemberUse
from hubquota.models.ledger import Allocation
from hubquota.models.overrides import Overridden, Override
from hubquota.models.words import number_text

from romanhub.portal.acts import given_reason
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.problems import invalid


class Limits:
    """Whoever calls has checked that the visitor may. All methods raise LedgerUnavailableError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # Overrides ---------------------------------------------------------------------------------------

    async def overrides(self, account: str | None, *, former: bool = False) -> list[Override]:
        """Return overrides in the order in which they were given; raises UnknownAccountError."""
        return await self._desk.ask(lambda: self._desk.ledger.overrides(account, former=former))

    async def give(
        self,
        visitor: Visitor,
        account: str,
        limits: Overridden,
        until: datetime,
        *,
        person: str | None,
        reason: str,
        key: str,
    ) -> Override:
        """Give an override; raises what `Overrides.give_override` raises, and PortalError for a size unknown."""
        sizes = self._desk.tiers.sizes
        if odd := [name for name in limits.sizes if name not in sizes]:
            raise invalid(f"There is no size '{odd[0]}'. The sizes are {', '.join(sizes)}.")
        return await self._desk.act(
            lambda: self._desk.ledger.give_override(
                account, limits, until, actor=visitor.name, reason=given_reason(reason), key=key, person=person
            )
        )

    async def withdraw(self, visitor: Visitor, number: int, *, reason: str) -> Override:
        """End an override before its day; raises UnknownOverrideError."""
        return await self._desk.act(
            lambda: self._desk.ledger.withdraw_override(number, actor=visitor.name, reason=given_reason(reason))
        )

    # Tiers -------------------------------------------------------------------------------------------

    async def change_tier(
        self,
        visitor: Visitor,
        account: str,
        tier: str,
        *,
        units: int | None,
        end: datetime | None,
        keep: bool,
        reason: str,
        key: str,
    ) -> Allocation:
        """Move an account to another tier; raises what `TierChange.change_tier` raises, and PortalError.

        Where no amount or no end is given, it is the tier's.
        """
        terms = self._desk.tier(tier)
        return await self._desk.act(
            lambda: self._desk.ledger.change_tier(
                account,
                tier,
                terms.budget_units if units is None else units,
                actor=visitor.name,
                reason=given_reason(reason),
                key=key,
                end=end,
                term_days=terms.term_days,
                renewable=terms.renewable,
                keep=keep,
            )
        )

    # Caps of a project's members ---------------------------------------------------------------------

    async def member_use(self, project: str) -> list[MemberUse]:
        """Return what members have used in the terms that are on, with their caps; raises UnknownAccountError."""
        return await self._desk.ask(lambda: self._desk.ledger.member_use(project))

    async def set_cap(
        self,
        visitor: Visitor,
        project: str,
        member: str,
        *,
        units: int | None,
        workers: int | None,
        reason: str,
    ) -> Cap | None:
        """Cap a member, or with neither number lift their cap; raises what `Caps.set_cap` raises."""
        return await self._desk.act(
            lambda: self._desk.ledger.set_cap(
                project,
                member,
                credits=units,
                workers=workers,
                actor=visitor.name,
                reason=given_reason(reason),
                by_member=None if visitor.admin else visitor.name,
            )
        )


def limits_text(limits: Overridden) -> str:
    """Return what an override allows, for people: "Size large; 40 Dask workers at once"."""
    said = []
    if limits.sizes:
        said.append(f"{'size' if len(limits.sizes) == 1 else 'sizes'} {', '.join(limits.sizes)}")
    for number, word in (
        (limits.servers, "server"),
        (limits.clusters, "Dask cluster"),
        (limits.workers, "Dask worker"),
    ):
        if number is not None:
            said.append(f"{number_text(number, word)} at once")
    if limits.idle_stop_minutes is not None:
        said.append(f"stopped after {number_text(limits.idle_stop_minutes, 'minute')} without activity")
    if limits.longest_session_hours is not None:
        said.append(f"stopped after {number_text(limits.longest_session_hours, 'hour')}")
    text = "; ".join(said)
    return text[:1].upper() + text[1:]
