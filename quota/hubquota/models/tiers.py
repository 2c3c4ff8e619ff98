"""What the tiers file says: sizes of machine, tiers, and who starts on which tier.

These models check one file's content. `hubquota.services.tiersfile` reads the file and says on which
line a mistake is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from hubquota.models.money import InexactAmountError, rate_of, to_units

#: The kind of the pydantic error that carries this module's own checks between keys.
CROSS_CHECK = "tiers_cross_check"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise PydanticCustomError(
            "name",
            "a name has to be lower-case letters, digits and hyphens, and start with a letter",
        )
    return value


def _number(value: object) -> object:
    # YAML's true and yes are whole numbers to Python; in a price they are a mistake.
    if isinstance(value, bool):
        raise PydanticCustomError("number", "a number is expected")
    return value


def _price(value: Decimal) -> Decimal:
    try:
        rate_of(value)
    except InexactAmountError as error:
        raise PydanticCustomError("inexact", "{text}", {"text": str(error).rstrip(".")}) from error
    return value


def _credits(value: Decimal) -> Decimal:
    try:
        to_units(value)
    except InexactAmountError as error:
        raise PydanticCustomError("inexact", "{text}", {"text": str(error).rstrip(".")}) from error
    return value


Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, Field(min_length=1)]
Price = Annotated[Decimal, Field(ge=0, le=1_000_000), BeforeValidator(_number), AfterValidator(_price)]
Credits = Annotated[Decimal, Field(ge=0, le=1_000_000_000), BeforeValidator(_number), AfterValidator(_credits)]
Count = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]
Fraction = Annotated[Decimal, Field(gt=0, lt=1), BeforeValidator(_number)]
Positive = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Rates(_Model):
    """What things cost from a day on. The prices of sizes and workers follow from it."""

    valid_from: date = Field(description="The first day of these prices, such as 2026-07-01.")
    core_hour: Price = Field(description="What a core costs, in credits an hour.")
    gib_hour: Price = Field(description="What a GiB of memory costs, in credits an hour.")
    storage_gib_hour: Price = Field(
        default=Decimal(0), description="What a GiB that is kept costs, in credits an hour."
    )

    def price_of(self, cores: int, memory_gib: int) -> Decimal:
        """Return what a machine costs, in credits an hour."""
        return self.core_hour * cores + self.gib_hour * memory_gib

    def storage_rate(self, gib: int) -> int:
        """Return what so many GiB that are kept cost, in units a second."""
        return rate_of(self.storage_gib_hour * gib)


class Size(_Model):
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


class Dask(_Model):
    """What a tier may do with Dask clusters."""

    clusters: Count = Field(description="How many clusters may run at once; 0 for none.")
    workers: Count = Field(description="How many workers may run at once, over all clusters.")
    worker_cores: Positive = Field(description="CPU cores of one worker.")
    worker_memory_gib: Positive = Field(description="Memory of one worker, in GiB.")
    price: Price = Field(
        description="What one worker costs while it runs, in credits an hour; without it, what the `rates` say."
    )
    idle_stop_minutes: Positive = Field(description="A cluster without work is stopped after so many minutes.")

    @property
    def rate(self) -> int:
        """What one worker costs while it runs, in units a second."""
        return rate_of(self.price)


class Storage(_Model):
    """How much a tier may keep."""

    home_gib: Positive = Field(description="The home directory's limit, in GiB.")
    scratch_gib: Count = Field(description="The scratch space's limit, in GiB; 0 for none.")


class RenewsItself(_Model):
    """When an allocation renews itself at its end."""

    active_within_days: Positive = Field(
        description="It does if the account was charged for anything within so many days before the end."
    )


class WhenDown(_Model):
    """What a user may start while the ledger's database does not answer, if the hub allows it at all."""

    starts: Count = Field(
        description="How many starts of a user may wait to be written to the ledger; 0 for none."
    )
    minutes: Positive = Field(description="A server that was started so is stopped after so many minutes.")


class Tier(_Model):
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
        "without it, never.",
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


class ClaimRule(_Model):
    """A rule that goes by what the identity provider says of a user."""

    claim: Text = Field(
        description="The claim's name in the user's auth_state, such as eduperson_scoped_affiliation."
    )
    matches: Text = Field(
        description="A pattern for its value, such as *@stsci.edu, with * for anything; of a list, any counts."
    )
    tier: Name = Field(description="The tier of users whom the rule names.")


class FirstTier(_Model):
    """Which tier an account starts on."""

    default: Name = Field(description="The tier of users whom no rule names.")
    claims: tuple[ClaimRule, ...] = Field(
        default=(), description="Rules on claims. The first that matches decides, before the groups are looked at."
    )
    groups: dict[str, Name] = Field(
        default_factory=dict,
        description="Hub group to tier. The first rule in the file whose group the user is in decides.",
    )


class CleanUp(_Model):
    """The server that people may start, free of charge, when nothing pays any more and their files are kept."""

    size: Name = Field(description="The size that it has.")
    idle_stop_minutes: Positive = Field(
        default=15, description="It is stopped after so many minutes without activity."
    )
    longest_session_hours: Positive = Field(default=1, description="It is stopped after so many hours.")


class GroupProject(_Model):
    """Hub groups whose members draw on the project of the group's name."""

    match: Text = Field(description="The groups' names; `*` stands for anything, such as in roman-*.")
    tier: Name = Field(description="The tier of a project that is opened for such a group, without credits.")
    pi_suffix: str = Field(
        default="-pi", description="The group of this name's ending holds the PIs: of roman-x, roman-x-pi."
    )


class Projects(_Model):
    """Which projects follow from hub groups."""

    groups: tuple[GroupProject, ...] = Field(
        default=(), description="The rules, tried in order; groups that match none are no projects."
    )

    def of_groups(self, groups: Collection[str]) -> dict[str, tuple[str, bool]]:
        """Return the projects that membership of some groups gives.

        Args:
            groups: names of hub groups that one person is in.

        Returns:
            By the project's name, the tier to open it on and whether they are a PI of it.
        """
        found: dict[str, tuple[str, bool]] = {}
        for group in sorted(groups):
            for rule in self.groups:
                project = group.removesuffix(rule.pi_suffix) if rule.pi_suffix else group
                if project != group and fnmatchcase(project, rule.match):
                    found[project] = (rule.tier, True)
                    break
                if fnmatchcase(group, rule.match):
                    found.setdefault(group, (rule.tier, False))
                    break
        return found

    def people_of(
        self, project: str, groups: Mapping[str, Collection[str]]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Return the members and the PIs of a project, by what each hub group's people are."""
        members: set[str] = set()
        pis: set[str] = set()
        for group, people in groups.items():
            for name, (_, leads) in self.of_groups([group]).items():
                if name == project:
                    (pis if leads else members).update(people)
        return frozenset(members), frozenset(pis)


class Warnings(_Model):
    """When people are warned before something of theirs is stopped."""

    budget_left: tuple[Fraction, ...] = Field(
        default=(Decimal("0.25"), Decimal("0.1")),
        description="Fractions of the budget; a warning comes when what is left has come down to one.",
    )
    minutes_before_stop: tuple[Positive, ...] = Field(
        default=(60, 10), description="A warning comes so many minutes before a stop."
    )


class Tiers(_Model):
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
            if _claim_matches(claims or {}, rule):
                return rule.tier
        for group, tier in self.first_tier.groups.items():
            if group in groups:
                return tier
        return self.first_tier.default

    def allowance(self, tier: str) -> WhenDown | None:
        """Return what users of a tier may start while the ledger does not answer; None for nothing.

        Raises:
            KeyError: there is no such tier.
        """
        allowed = self.tiers[tier].when_down or self.when_down
        return allowed if allowed is not None and allowed.starts else None

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


def with_prices(raw: object, on: date) -> object:
    """Return a tiers file's content in which every size and worker has the price of a day.

    What has a price of its own keeps it. The rates that count are the latest that are valid on that day;
    where there are none, or where they are not in order, prices are left out, and the check says so.

    Args:
        raw: the file's content as plain mappings and lists.
        on: the day.
    """
    top = _mapping(raw)
    rates = _rates_on(top.get("rates"), on)
    if rates is None:
        return raw
    sizes = {
        name: _priced(size, rates, "cores", "memory_gib") for name, size in _mapping(top.get("sizes")).items()
    }
    tiers = {
        name: {**tier, "dask": _priced(tier["dask"], rates, "worker_cores", "worker_memory_gib")}
        if isinstance(tier, Mapping) and "dask" in tier
        else tier
        for name, tier in _mapping(top.get("tiers")).items()
    }
    priced = dict(top)
    if sizes:
        priced["sizes"] = sizes
    if tiers:
        priced["tiers"] = tiers
    return priced


def next_change(tiers: Tiers, on: date) -> date | None:
    """Return the first day after a day from which on other rates are valid."""
    return min((rates.valid_from for rates in tiers.rates if rates.valid_from > on), default=None)


def _rates_on(given: object, on: date) -> Rates | None:
    found: list[Rates] = []
    for one in given if isinstance(given, list | tuple) else []:
        try:
            found.append(Rates.model_validate(one))
        except ValueError:
            return None
    valid = [rates for rates in found if rates.valid_from <= on]
    return max(valid, key=lambda rates: rates.valid_from, default=None)


def _priced(thing: object, rates: Rates, cores: str, memory_gib: str) -> object:
    if not isinstance(thing, Mapping) or "price" in thing:
        return thing
    number, gib = thing.get(cores), thing.get(memory_gib)
    # A boolean is a number to Python; the check says that it is not one.
    if type(number) is not int or type(gib) is not int:
        return thing
    return {**thing, "price": rates.price_of(number, gib)}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a tiers file: where, as keys and positions from the top, and what is wrong."""

    path: tuple[str | int, ...]
    text: str


def cross_check(raw: object) -> Iterator[Mistake]:
    """Yield the mistakes between keys: names that nothing defines, and defaults that are not offered.

    Args:
        raw: the file's content as plain mappings and lists. Parts of a wrong type are passed over,
            because the models' own checks name those; so this can run on content that they turned down.
    """
    top = _mapping(raw)
    sizes = _mapping(top.get("sizes"))
    tiers = _mapping(top.get("tiers"))
    yield from _check_rates(top.get("rates"))
    for name, tier in tiers.items():
        yield from _check_tier(("tiers", name), _mapping(tier), sizes)
    first = _mapping(top.get("first_tier"))
    rules: list[tuple[tuple[str | int, ...], object]] = [(("first_tier", "default"), first.get("default"))]
    claims = first.get("claims")
    for position, rule in enumerate(claims if isinstance(claims, list | tuple) else ()):
        rules.append((("first_tier", "claims", position, "tier"), _mapping(rule).get("tier")))
    rules += [(("first_tier", "groups", g), tier) for g, tier in _mapping(first.get("groups")).items()]
    rules += [
        (("projects", "groups", position, "tier"), _mapping(rule).get("tier"))
        for position, rule in enumerate(_sequence(_mapping(top.get("projects")).get("groups")))
    ]
    size = _mapping(top.get("clean_up")).get("size")
    if isinstance(size, str) and size not in sizes:
        yield Mistake(("clean_up", "size"), f"there is no size '{size}'; allowed: {_listed(sizes)}")
    for path, tier in rules:
        if isinstance(tier, str) and tier not in tiers:
            yield Mistake(path, f"there is no tier '{tier}'; allowed: {_listed(tiers)}")


def _check_rates(given: object) -> Iterator[Mistake]:
    days: list[object] = []
    for position, rates in enumerate(given if isinstance(given, list | tuple) else ()):
        day = _mapping(rates).get("valid_from")
        if day is not None and day in days:
            yield Mistake(("rates", position, "valid_from"), f"{day} is there twice; keep one")
        days.append(day)


def _check_tier(
    path: tuple[str | int, ...], tier: Mapping[Any, Any], sizes: Mapping[Any, Any]
) -> Iterator[Mistake]:
    if tier.get("renews_itself") is not None and tier.get("renewable") is False:
        yield Mistake((*path, "renews_itself"), "a tier that is not renewable cannot renew itself; keep one")
    offered = tier.get("sizes")
    names = [name for name in offered if isinstance(name, str)] if isinstance(offered, list | tuple) else []
    for position, name in enumerate(names):
        if name not in sizes:
            yield Mistake((*path, "sizes", position), f"there is no size '{name}'; allowed: {_listed(sizes)}")
        elif name in names[:position]:
            yield Mistake((*path, "sizes", position), f"the size '{name}' is listed twice; name it once")
    default = tier.get("default_size")
    allowed = [name for name in dict.fromkeys(names) if name in sizes]
    if isinstance(default, str) and names and default not in names:
        yield Mistake(
            (*path, "default_size"),
            f"the size '{default}' is not among the tier's sizes; allowed: {_listed(allowed)}",
        )


def _claim_matches(claims: Mapping[str, Any], rule: ClaimRule) -> bool:
    """Return whether a claim has a value that a rule names. Claims are often one level down in auth_state."""
    for place in (claims, *(inner for inner in claims.values() if isinstance(inner, Mapping))):
        given = place.get(rule.claim)
        values = given if isinstance(given, list | tuple | set | frozenset) else [given]
        if any(isinstance(value, str) and fnmatchcase(value, rule.matches) for value in values):
            return True
    return False


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _listed(names: Collection[Any]) -> str:
    return ", ".join(str(name) for name in names) or "none is defined"
