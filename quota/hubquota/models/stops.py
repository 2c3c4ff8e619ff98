"""Why and when what runs is stopped, and what is said of it before.

Everything here follows from times and limits alone: whoever asks, and however often, gets the same answer.
Times are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from hubquota.models.tiers import Tier
from hubquota.models.words import duration_text, moment_text

#: Why a lease ended. The sentence for people is kept beside it.
#:
#: - ``stopped``: its user or a service asked the hub, or somebody of whom the hub does not say who it was.
#: - ``idle``, ``longest-session``, ``budget``: it came to that limit of its tier or its account.
#: - ``admin``: whoever runs the platform stopped it, by way of the ledger or of the hub.
#: - ``out-of-memory``: it used more memory than it had, as the machinery that ran it says.
#: - ``evicted``: the cluster needed its place, as Kubernetes says of the pod.
#: - ``removed``: its pod was taken away, and not by the hub.
#: - ``node-lost``: the machine that it ran on went away.
#: - ``failed``: it did not start, or never answered.
#: - ``ended``: it ended by itself, and nobody says why.
#: - ``lost``: the hub did not know it any more.
EndKind = Literal[
    "stopped",
    "idle",
    "longest-session",
    "budget",
    "admin",
    "out-of-memory",
    "evicted",
    "removed",
    "node-lost",
    "failed",
    "ended",
    "lost",
]

#: The sentences for what needs no figures.
STOPPED = "The server was stopped."
NOT_STARTED = "The server did not start."
NO_ANSWER = "The server started but did not answer, so the hub gave it up. Nothing was charged for it."
ENDED = "The server ended by itself; it was last seen running at the end of the charge."
OUT_OF_MEMORY = (
    "The server needed more memory than its size has, and was ended. Choose a larger size, or work on less "
    "at a time."
)
EVICTED = "The cluster took the server from its machine. Your files are kept; start it again to go on."
REMOVED = (
    "The server's pod was taken away, and not by the hub. Your files are kept, and you were charged until it was "
    "last seen running; start it again to go on."
)
NODE_LOST = (
    "The machine that the server ran on went away. Your files are kept, and you were charged until it was last "
    "heard of; start the server again to go on."
)
LOST = "The hub did not know the server any more; closed when it was last seen."
NEVER_STARTED = "The server never started."
USED_UP = "The credits that paid for it are used up."


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop that is to come, if nothing changes before."""

    kind: EndKind
    at: datetime
    #: What is recorded and read when it has come.
    reason: str
    #: What a warning says of it before, as a sentence.
    warning: str
    #: The time since which nothing has changed that moves the stop; the same stop has the same one.
    since: datetime
    #: The longest time before it at which a warning makes sense.
    warn_within: timedelta


@dataclass(frozen=True, slots=True)
class StopWarning:
    """A warning that is due before a stop."""

    stop: Stop
    #: So many minutes before the stop it became due.
    minutes: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """How long an account lasts if what runs goes on as it does. Amounts are in units."""

    account: str
    #: The first moment that cannot be paid; None for never.
    exhausts_at: datetime | None
    #: What the allocations that pay now were given, and what is left of it.
    granted: int
    left: int
    #: What all that runs costs together, in units a second.
    rate: int
    #: When something was last added to what pays now.
    funded_at: datetime
    #: Whom a warning about the budget is for: the account's user, or the project's PIs.
    owners: tuple[str, ...]


def session_stops(tier: Tier, *, started: datetime, active: datetime) -> list[Stop]:
    """Return the stops that a tier's limits set for a server.

    Args:
        tier: the tier that the account is on.
        started: when the server began.
        active: when activity was last noted in it.
    """
    idle = timedelta(minutes=tier.idle_stop_minutes)
    longest = timedelta(hours=tier.longest_session_hours)
    idle_text = duration_text(int(idle.total_seconds()))
    longest_text = duration_text(int(longest.total_seconds()))
    active = max(started, active)
    return [
        Stop(
            kind="longest-session",
            at=started + longest,
            reason=f"It ran for {longest_text}, the longest that the tier {tier.title} allows.",
            warning=f"It will have run for {longest_text} then, the longest that the tier {tier.title} allows.",
            since=started,
            warn_within=longest / 2,
        ),
        Stop(
            kind="idle",
            at=active + idle,
            reason=(f"It was without activity for {idle_text}, after which the tier {tier.title} stops a server."),
            warning=f"There was no activity in it since {moment_text(active)}; any activity keeps it running.",
            since=active,
            # A warning at a time when people still work would be noise.
            warn_within=idle / 2,
        ),
    ]


def budget_stop(account: str, *, at: datetime, since: datetime) -> Stop:
    """Return the stop of everything on an account whose credits end at a time.

    Args:
        account: the account's name.
        at: the first moment that cannot be paid.
        since: when something was last added to the account.
    """
    return Stop(
        kind="budget",
        at=at,
        reason=USED_UP,
        warning=f"The credits of {account} that pay for it end then.",
        since=since,
        warn_within=timedelta.max,
    )


def cap_stop(project: str, person: str, *, at: datetime, since: datetime) -> Stop:
    """Return the stop of what a member of a project runs, when their cap on it is used up.

    Args:
        project: the project that pays.
        person: the member.
        at: the first moment that the cap does not cover.
        since: when the thing that is stopped began.
    """
    return Stop(
        kind="budget",
        at=at,
        reason=f"{person}'s cap on the project {project} is used up.",
        warning=f"{person}'s cap on the project {project} is used up then; a PI of the project can raise it.",
        since=since,
        warn_within=timedelta.max,
    )


def due_stop(stops: Iterable[Stop], now: datetime) -> Stop | None:
    """Return the stop that has come; of several, the one that came first."""
    return min((stop for stop in stops if stop.at <= now), key=lambda stop: stop.at, default=None)


def due_warning(stops: Iterable[Stop], minutes: Sequence[int], now: datetime) -> StopWarning | None:
    """Return the most urgent warning that is due before a stop that has not come.

    Of several thresholds that have been passed, the last one counts: who looks late warns once.
    """
    found: list[StopWarning] = []
    for stop in stops:
        passed = [number for number in _counting(stop, minutes) if _before(stop, number) <= now]
        if passed and now < stop.at:
            found.append(StopWarning(stop, min(passed)))
    return min(found, key=lambda warning: warning.stop.at, default=None)


def next_moment(stops: Iterable[Stop], minutes: Sequence[int], now: datetime) -> datetime | None:
    """Return the next moment after now at which a stop comes or a warning is due; None for never."""
    moments = [stop.at for stop in stops]
    moments += [_before(stop, number) for stop in stops for number in _counting(stop, minutes)]
    return min((moment for moment in moments if moment > now), default=None)


def threshold_passed(left: int, granted: int, thresholds: Sequence[Decimal]) -> Decimal | None:
    """Return the smallest of some fractions of a budget that what is left has come down to, or None.

    Args:
        left: what is left, in units.
        granted: the whole budget, in units.
        thresholds: fractions between 0 and 1.
    """
    if granted <= 0:
        return None
    return min((fraction for fraction in thresholds if left <= fraction * granted), default=None)


def seconds_to_threshold(left: int, granted: int, rate: int, thresholds: Sequence[Decimal]) -> int | None:
    """Return the seconds until what is left comes down to the next fraction of a budget; None for never.

    Args:
        left: what is left, in units.
        granted: the whole budget, in units.
        rate: what runs costs together, in units a second.
        thresholds: fractions between 0 and 1.
    """
    if rate <= 0:
        return None
    above = [left - int(fraction * granted) for fraction in thresholds if left > fraction * granted]
    return -(-min(above) // rate) if above else None


def _counting(stop: Stop, minutes: Sequence[int]) -> list[int]:
    return [number for number in minutes if timedelta(minutes=number) <= stop.warn_within]


def _before(stop: Stop, minutes: int) -> datetime:
    return stop.at - timedelta(minutes=minutes)
