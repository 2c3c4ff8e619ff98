"""Overrides: another limit than the tier's, for an account or for one person on it, until a date.

`effective` is the one place where a tier's limits and what overrides them come together. The spawn form, the
admission, the Dask gateway and the watch all go by what it returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from pydantic import Field, model_validator

from hubquota.models.fields import Count, Name, Positive, Strict
from hubquota.models.tiers import Tier, Tiers


class Overridden(Strict):
    """The limits that an override gives. What is left out stays as the tier has it."""

    sizes: tuple[Name, ...] = Field(default=(), description="Names of sizes to offer besides the tier's.")
    servers: Count | None = Field(default=None, description="How many servers one person may run at once.")
    clusters: Count | None = Field(default=None, description="How many Dask clusters may run at once.")
    workers: Count | None = Field(default=None, description="How many Dask workers may run at once.")
    idle_stop_minutes: Positive | None = Field(
        default=None, description="A server without activity is stopped after so many minutes."
    )
    longest_session_hours: Positive | None = Field(
        default=None, description="A server is stopped after so many hours, active or not."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_dump(exclude_defaults=True):
            raise ValueError("an override changes one limit at least")
        return self

    def applied_to(self, tier: Tier, tiers: Tiers) -> Tier:
        """Return a tier with these limits. Sizes that the tiers file no longer has are passed over."""
        wanted = {*tier.sizes, *self.sizes}
        dask = {name: value for name in ("clusters", "workers") if (value := getattr(self, name)) is not None}
        changed: dict[str, object] = {
            name: value
            for name in ("servers", "idle_stop_minutes", "longest_session_hours")
            if (value := getattr(self, name)) is not None
        }
        if self.sizes:
            changed["sizes"] = tuple(name for name in tiers.sizes if name in wanted)
        if dask:
            changed["dask"] = tier.dask.model_copy(update=dask)
        return tier.model_copy(update=changed)


@dataclass(frozen=True, slots=True)
class Override:
    """One override. It is in force from when it was given until its date, or until it is withdrawn."""

    id: int
    account: str
    #: Whom it is for; None for everybody who draws on the account.
    person: str | None
    limits: Overridden
    given_at: datetime
    given_by: str
    reason: str
    #: The first moment at which it is not in force any more.
    until: datetime
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None
    withdrawn_reason: str | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether it counts at a moment. That follows from its dates; nothing has to be swept."""
        # What was given counts at once, even where another machine's clock is behind.
        return now < self.until and self.withdrawn_at is None

    def is_for(self, person: str | None) -> bool:
        """Whether it counts for somebody; with None, whether it counts for everybody on the account."""
        return self.person is None or self.person == person


def effective(
    tiers: Tiers, tier: str, overrides: Iterable[Override], now: datetime, *, person: str | None = None
) -> Tier:
    """Return a tier with the overrides that are in force.

    Sizes add up. Of every other limit the override given last decides, and one for a person decides before
    one for the whole account. So no limit is above what the tier or an override in force allows.

    Args:
        tiers: what the tiers file says.
        tier: the tier's name.
        overrides: overrides of one account, in force or not.
        now: the moment.
        person: who draws on the account; None for what holds for everybody.

    Raises:
        KeyError: there is no such tier.
    """
    found = tiers.tiers[tier]
    counting = [one for one in overrides if one.in_force(now) and one.is_for(person)]
    for override in sorted(counting, key=lambda one: (one.person is not None, one.id)):
        found = override.limits.applied_to(found, tiers)
    return found
