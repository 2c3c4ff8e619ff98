"""What the commands are given: options that several of them have, and what they stand for."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

import click
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from hubquota.models.ledger import EntryKind
from hubquota.models.money import LARGEST, MOST_CREDITS, InexactAmountError, to_units
from hubquota.models.reading import DeedKind
from hubquota.models.requests import Actor
from hubquota.models.tiers import Tier, Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine

Command = TypeVar("Command", bound=Callable[..., Any])

#: Seconds that one statement may take in a command that reads a whole ledger.
LONG = 3600.0

database = click.option(
    "--database-url",
    envvar="HUBQUOTA_DATABASE_URL",
    required=True,
    help="The ledger's database, such as sqlite:////srv/quota/ledger.sqlite.",
)
tiers_file = click.option(
    "--tiers",
    "tiers_path",
    envvar="HUBQUOTA_TIERS",
    required=True,
    type=click.Path(dir_okay=False),
    help="The tiers file.",
)
tiers_to_check = click.option(
    "--tiers",
    "tiers_path",
    envvar="HUBQUOTA_TIERS",
    type=click.Path(dir_okay=False),
    help="The tiers file, in which a tier that is named has to be.",
)
for_scripts = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for scripts: amounts in credits as text, times in UTC."
)
limit = click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="How many at most.")
acting_as = click.option(
    "--as", "person", help="Act as this person, with no more rights than theirs; an administrator if not given."
)


class _Said(click.ParamType):  # type: ignore[type-arg]  # no generic type before click 8.5
    """A text that says something."""

    name = "text"

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text without blanks around it."""
        text = str(value).strip()
        if not text:
            self.fail(f"{self._what}; it cannot be empty", param, ctx)
        return text


why = click.option(
    "--reason", required=True, type=_Said("it says why, for good"), help="Why; the account's owner reads it."
)
key = click.option(
    "--key",
    required=True,
    type=_Said("it names the act"),
    help="A name for this act: a second one of that name does nothing.",
)


class _Time(click.DateTime):
    """A day or a time, in UTC."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return a time with its zone."""
        found: datetime = super().convert(value, param, ctx)
        return found.replace(tzinfo=UTC)


class _Credits(click.ParamType):  # type: ignore[type-arg]  # no generic type before click 8.5
    """An amount of credits, as units of the ledger."""

    name = "credits"

    def __init__(self, what: str, *, zero: bool = False, below_zero: bool = False) -> None:
        self._what = what
        self._zero = zero
        self._below_zero = below_zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return whole units."""
        try:
            units = to_units(str(value))
        except InexactAmountError as error:
            self.fail(str(error), param, ctx)
        if abs(units) > LARGEST:
            self.fail(f"{self._what} is of at most {MOST_CREDITS:,} credits", param, ctx)
        if self._below_zero and not units:
            self.fail(f"{self._what} of nothing changes nothing", param, ctx)
        if units < 0 and self._zero:
            self.fail(f"{self._what} is not below zero", param, ctx)
        if units <= 0 and not self._zero and not self._below_zero:
            remedy = "use `hubquota account correct` to take something back"
            self.fail(f"{self._what} is above zero; {remedy}", param, ctx)
        return units


TIME = _Time()
since = click.option(
    "--from", "since", type=TIME, help="The first day or time, in UTC; the beginning if not given."
)
until = click.option("--until", type=TIME, help="The first day or time after the range; now if not given.")


def audited(command: Command) -> Command:
    """Add the options that say what of an audit is wanted: the fields of an `AuditQuery`."""
    kinds = ("acts", *get_args(EntryKind), *get_args(DeedKind))
    for option in (
        until,
        since,
        click.option("--actor", help="Only what somebody did."),
        click.option(
            "--kind",
            type=click.Choice(kinds),
            default="acts",
            show_default=True,
            metavar="KIND",
            help=f"What it is about. 'acts' is everything that somebody decided; one of: {', '.join(kinds)}.",
        ),
    ):
        command = option(command)
    return command


def credits_above_zero(what: str) -> _Credits:
    """Return the type of an amount above zero; `what` begins the sentence that turns another one down."""
    return _Credits(what)


def credits_at_least_zero(what: str) -> _Credits:
    """Return the type of an amount that may be nothing; `what` as for `credits_above_zero`."""
    return _Credits(what, zero=True)


#: An amount above or below zero.
CORRECTION = _Credits("a correction", below_zero=True)


def engine_of(database_url: str, *, timeout: float = 5.0) -> Engine:
    """Return an engine on the ledger's database; `timeout` as for `make_engine`."""
    try:
        return make_engine(database_url, timeout=timeout)
    except (ValueError, SQLAlchemyError) as error:
        raise click.BadParameter(str(error), param_hint="--database-url") from error


def ledger_of(database_url: str, *, timeout: float = 5.0) -> Ledger:
    """Return the ledger in a database, with the tiers of the environment's file."""
    return Ledger(engine_of(database_url, timeout=timeout), tiers=tiers_around())


def tiers_around() -> Callable[[], Tiers] | None:
    """Return what reads the tiers file that the environment names, where it names one."""
    path = os.environ.get("HUBQUOTA_TIERS")
    return None if not path else lambda: load_tiers(path)


def operator() -> str:
    """Return the name under which the journal knows whoever runs the command."""
    return f"{getpass.getuser()} (hubquota)"


def known_tier(name: str, tiers_path: str | None, given_as: str = "--tier") -> Tier:
    """Return a tier of the file; with another name, or without the file, the command ends."""
    if tiers_path is None:
        raise click.UsageError(f"Whether there is a tier '{name}' is looked up in the tiers file: add --tiers.")
    return tier_of(load_tiers(tiers_path), name, given_as)


def tier_of(tiers: Tiers, name: str, given_as: str = "--tier") -> Tier:
    """Return a tier; with a name that is none's, the command ends."""
    if name not in tiers.tiers:
        there = ", ".join(tiers.tiers)
        raise click.BadParameter(f"there is no tier '{name}'; there are: {there}", param_hint=given_as)
    return tiers.tiers[name]


def actor(person: str | None) -> Actor:
    """Return who acts on a request: a person with their own rights, or an administrator."""
    return Actor(operator(), admin=True) if person is None else Actor(person)
