"""What the tiers file says: sizes of machine, tiers, and who starts on which tier.

These models check one file's content. `hubquota.services.tiersfile` reads the file and says on which
line a mistake is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Self

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from hubquota.models.crosscheck import cross_check
from hubquota.models.fields import Count, Credits, Fraction, Name, Positive, Price, Strict, Text
from hubquota.models.groups import FirstTier, Projects
from hubquota.models.money import rate_of, to_units
from hubquota.models.rates import Rates

#: The kind of the pydantic error that carries the checks between keys.
CROSS_CHECK = "tiers_cross_check"


class Size(Strict):
    """One size of machine that a server can have."""

    title: Text = Field(description="The size's name as people read it, such as Medium.")
    cores: Positive = Field(description="CPU cores that the server may use.")
    memory_gib: Positive = Field(description="Memory that the server may use, in GiB.")
    price: Price = Field(
        description="What it costs while it runs, in credits an hour; without it, what the `rates` say."
    )

    @property
    def rate(self) -> int:
        """What it costs while it runs, in units a second."""
        return rate_of(self.price)


class Dask(Strict):
    """What a tier may do with Dask clusters."""

    clusters: Count = Field(description="How many clusters may run at once; 0 for none.")
    workers: Count = Field(description="How many workers may run at once, over all clusters.")
    worker_cores: Positive = Field(description="CPU cores of one worker; fewer may be asked for.")
    worker_memory_gib: Positive = Field(description="Memory of one worker, in GiB; less may be asked for.")
    cores: Positive | None = Field(
        default=None,
        description="How many cores all workers may have together; without it, as many as so many workers have.",
    )
    memory_gib: Positive | None = Field(
        default=None,
        description="How much memory all workers may have together, in GiB; without it, as much as so many "
        "workers have.",
    )
    price: Price = Field(
        description="What one worker costs while it runs, in credits an hour; without it, what the `rates` say."
    )
    idle_stop_minutes: Positive = Field(description="A cluster without work is stopped after so many minutes.")

    @property
    def rate(self) -> int:
        """What one worker costs while it runs, in units a second."""
        return rate_of(self.price)

    @property
    def most_cores(self) -> int:
        """How many cores all workers may have together."""
        return self.workers * self.worker_cores if self.cores is None else self.cores

    @property
    def most_memory_gib(self) -> int:
        """How much memory all workers may have together, in GiB."""
        return self.workers * self.worker_memory_gib if self.memory_gib is None else self.memory_gib


class Storage(Strict):
    """How much a tier may keep."""

    home_gib: Positive = Field(description="The home directory's limit, in GiB.")
    scratch_gib: Count = Field(description="The scratch space's limit, in GiB; 0 for none.")


class RenewsItself(Strict):
    """When an allocation renews itself at its end."""

    active_within_days: Positive = Field(
        description="It does if the account was charged for anything within so many days before the end."
    )


class WhenDown(Strict):
    """What a user may start while the ledger's database does not answer, if the hub allows it at all."""

    starts: Count = Field(
        description="How many starts of a user may wait to be written to the ledger; 0 for none."
    )
    minutes: Positive = Field(description="A server that was started so is stopped after so many minutes.")


class Tier(Strict):
    """What the accounts of one tier may use, and for how much."""

    title: Text = Field(description="The tier's name as people read it, such as Explorer.")
    description: Text = Field(description="One sentence that says whom the tier is for.")
    budget: Credits = Field(description="Credits that an account of this tier is granted for a term.")
    term_days: Positive = Field(description="How many days a term lasts.")
    sizes: tuple[Name, ...] = Field(
        min_length=1, description="Names of the sizes that the tier offers, in the order of the form."
    )
    default_size: Name = Field(description="The size that the form has chosen already.")
    dask: Dask = Field(description="What the tier may do with Dask clusters.")
    storage: Storage = Field(description="How much the tier may keep.")
    idle_stop_minutes: Positive = Field(description="A server without activity is stopped after so many minutes.")
    longest_session_hours: Positive = Field(description="A server is stopped after so many hours, active or not.")
    servers: Count | None = Field(
        default=None,
        description="How many servers one person may run at once on an account; without it, any number.",
    )
    renewable: bool = Field(
        default=True, strict=True, description="Whether an allocation of this tier may be followed by another."
    )
    renews_itself: RenewsItself | None = Field(
        default=None,
        description="When an allocation of this tier is followed by one of the tier's budget and term by itself; "
        "without it, never. What an account is granted beside one of this tier does not renew itself.",
    )
    expiring_days: Count = Field(
        default=14, description="An allocation counts as expiring so many days before its end."
    )
    grace_days: Count = Field(
        default=30, description="Files are kept for so many days after the end of the last allocation."
    )
    when_down: WhenDown | None = Field(
        default=None,
        description="What may be started while the ledger does not answer; without it, what holds for all.",
    )

    @property
    def budget_units(self) -> int:
        """The budget in the ledger's units."""
        return to_units(self.budget)


class CleanUp(Strict):
    """The server that people may start, free of charge, when nothing pays any more and their files are kept."""

    size: Name = Field(description="The size that it has.")
    idle_stop_minutes: Positive = Field(
        default=15, description="It is stopped after so many minutes without activity."
    )
    longest_session_hours: Positive = Field(default=1, description="It is stopped after so many hours.")


class Warnings(Strict):
    """When people are warned before something of theirs is stopped."""

    budget_left: tuple[Fraction, ...] = Field(
        default=(Decimal("0.25"), Decimal("0.1")),
        description="Fractions of the budget; a warning comes when what is left has come down to one.",
    )
    minutes_before_stop: tuple[Positive, ...] = Field(
        default=(60, 10), description="A warning comes so many minutes before a stop."
    )


class Tiers(Strict):
    """The whole tiers file."""

    ask: Text = Field(
        description="How to ask for more: a sentence, perhaps with an address. It ends every refusal."
    )
    rates: tuple[Rates, ...] = Field(
        default=(), description="What things cost, each from its first day on. A new price never changes the past."
    )
    sizes: dict[Name, Size] = Field(min_length=1, description="The sizes of machine, by name.")
    tiers: dict[Name, Tier] = Field(min_length=1, description="The tiers, by name, smallest first.")
    first_tier: FirstTier = Field(description="Which tier an account starts on.")
    clean_up: CleanUp | None = Field(
        default=None,
        description="The server for an account whose last term is over, until its files are archived; without "
        "it there is none.",
    )
    projects: Projects = Field(default=Projects(), description="Which projects follow from hub groups.")

    warnings: Warnings = Field(
        default_factory=Warnings, description="When people are warned before something of theirs is stopped."
    )
    when_down: WhenDown | None = Field(
        default=None, description="What may be started while the ledger does not answer; without it, nothing."
    )

    #: What `clean_up_limits` found of this file's own tiers, by their identity: they live as long as this does.
    _clean_ups: dict[int, Tier] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        mistakes = list(cross_check(self.model_dump()))
        if mistakes:
            raise PydanticCustomError(
                CROSS_CHECK,
                "{text}",
                {"text": "; ".join(f"{'.'.join(map(str, m.path))}: {m.text}" for m in mistakes)},
            )
        return self

    def tier_for(self, groups: Collection[str], claims: Mapping[str, Any] | None = None) -> str:
        """Return the name of the tier that a user starts on.

        Rules on claims are tried first, then those on groups, each in the order of the file; the first that
        matches decides.

        Args:
            groups: the user's hub groups.
            claims: what the identity provider says of the user: the hub's auth_state.
        """
        for rule in self.first_tier.claims:
            if rule.fits(claims or {}):
                return rule.tier
        for group, tier in self.first_tier.groups.items():
            if group in groups:
                return tier
        return self.first_tier.default

    def clean_up_limits(self, tier: Tier) -> Tier | None:
        """Return the limits of a clean-up server for accounts of a tier; None where there is no such server."""
        if self.clean_up is None:
            return None
        # Asked for at every start: of a tier as the file has it, what it comes to is kept.
        known = self._clean_ups.get(id(tier))
        if known is not None:
            return known
        found = tier.model_copy(
            update={
                "sizes": (self.clean_up.size,),
                "default_size": self.clean_up.size,
                "servers": 1,
                "dask": tier.dask.model_copy(update={"clusters": 0, "workers": 0}),
                "idle_stop_minutes": self.clean_up.idle_stop_minutes,
                "longest_session_hours": self.clean_up.longest_session_hours,
            }
        )
        if any(one is tier for one in self.tiers.values()):
            self._clean_ups[id(tier)] = found
        return found

    def clean_up_sizes(self, limits: Tier) -> dict[str, Size]:
        """Return the sizes of a clean-up server by its limits, which cost nothing."""
        return {name: self.sizes[name].model_copy(update={"price": Decimal(0)}) for name in limits.sizes}

    def allowance(self, tier: str) -> WhenDown | None:
        """Return what users of a tier may start while the ledger does not answer; None for nothing.

        Raises:
            KeyError: there is no such tier.
        """
        allowed = self.tiers[tier].when_down or self.when_down
        return allowed if allowed is not None and allowed.starts else None

    def storage_rate(self, gib: int, on: date) -> int:
        """Return what so many GiB of scratch cost on a day, in units a second: nothing where no rates say it."""
        valid = [rates for rates in self.rates if rates.valid_from <= on]
        return max(valid, key=lambda rates: rates.valid_from).storage_rate(gib) if valid else 0

    def largest(self, names: Collection[str]) -> str:
        """Return the largest of some tiers: the last in the file; of unknown ones only, the first named.

        Raises:
            ValueError: no name is given.
        """
        if not names:
            raise ValueError("The largest of no tiers cannot be said.")
        known = [name for name in self.tiers if name in names]
        return known[-1] if known else next(iter(names))

    def sizes_of(self, tier: str) -> dict[str, Size]:
        """Return the sizes that a tier offers, by name, in the order of the form.

        Raises:
            KeyError: there is no such tier.
        """
        return {name: self.sizes[name] for name in self.tiers[tier].sizes}


def next_change(tiers: Tiers, on: date) -> date | None:
    """Return the first day after a day from which on other rates are valid."""
    return min((rates.valid_from for rates in tiers.rates if rates.valid_from > on), default=None)
