"""The burn-down as a picture: where the lines and areas of the SVG go. The template draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from hubquota.models.burndown import BurnDown
from hubquota.models.money import UNITS_PER_CREDIT

_Kept = TypeVar("_Kept")
_Place = Callable[[datetime], float]
_Height = Callable[[float], float]

#: How many colours the areas have; with more allocations, they begin again.
COLOURS = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A text on an axis, and where it is on it."""

    at: float
    text: str
    #: How the text lies to its place: start, middle or end.
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Area:
    """What one allocation has left over time."""

    allocation: int
    colour: int
    points: str


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawing of a burn-down, in units of its own view box."""

    name: str
    width: int
    height: int
    left: int
    right: float
    top: int
    bottom: float
    past: str
    areas: tuple[Area, ...]
    #: Where the present is.
    now: float
    #: Where the credits end, if that is in the picture.
    exhausted: float | None
    #: Where allocations end.
    ends: tuple[float, ...]
    amounts: tuple[Mark, ...]
    dates: tuple[Mark, ...]


def pictures(burn: BurnDown) -> tuple[Picture, ...]:
    """Return the picture for wide pages and the one for narrow ones; none where there is nothing to draw."""
    if not burn.future or not any(step.left for step in burn.future):
        return ()
    return _picture(burn, "wide", 760, 260, 5), _picture(burn, "narrow", 340, 240, 3)


def _picture(burn: BurnDown, name: str, width: int, height: int, dates: int) -> Picture:
    left, right, top, bottom = 52, width - 8, 10, height - 26
    first = burn.past[0].at if burn.past else burn.now
    # What is past has at least a fifth of the room, where there is any.
    ahead = burn.future[-1].at - burn.now
    first = min(first, burn.now - ahead / 4) if burn.past else first
    last = burn.future[-1].at
    span = max((last - first).total_seconds(), 1.0)
    totals = [step.total for step in burn.future]
    highest = _round_up(max([*totals, *(point.balance for point in burn.past), UNITS_PER_CREDIT]))

    def x(at: datetime) -> float:
        return round(left + (right - left) * (at - first).total_seconds() / span, 1)

    def y(units: float) -> float:
        return round(bottom - (bottom - top) * max(0.0, units) / highest, 1)

    return Picture(
        name=name,
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        past=_past(burn, x, y),
        areas=tuple(_areas(burn, x, y)),
        now=x(burn.now),
        exhausted=x(burn.exhausts_at) if burn.exhausts_at and burn.exhausts_at <= last else None,
        ends=tuple(x(one.end) for one in burn.allocations if one.end is not None and burn.now < one.end <= last),
        amounts=tuple(
            Mark(y(highest * part / 4), f"{highest * part / 4 / UNITS_PER_CREDIT:g}") for part in range(5)
        ),
        dates=_dates(first, last, dates, x),
    )


def _past(burn: BurnDown, x: _Place, y: _Height) -> str:
    found: list[str] = []
    before: int | None = None
    for point in burn.past:
        if before is not None:
            found.append(f"{x(point.at)},{y(before)}")
        found.append(f"{x(point.at)},{y(point.balance)}")
        before = point.balance
    if before is not None:
        found.append(f"{x(burn.now)},{y(before)}")
    return " ".join(found)


def _areas(burn: BurnDown, x: _Place, y: _Height) -> list[Area]:
    # What is spent last lies at the bottom, so that the top comes down as it is spent.
    order = [one.id for one in burn.allocations]
    areas = []
    for place, number in enumerate(order):
        below = order[place + 1 :]
        lower, upper = [], []
        for step in burn.future:
            base = sum(step.left.get(other, 0) for other in below)
            lower.append(f"{x(step.at)},{y(base)}")
            upper.append(f"{x(step.at)},{y(base + step.left.get(number, 0))}")
        if any(step.left.get(number) for step in burn.future):
            areas.append(Area(number, place % COLOURS, " ".join([*upper, *reversed(lower)])))
    return areas


def _dates(first: datetime, last: datetime, number: int, x: _Place) -> tuple[Mark, ...]:
    step = (last - first) / (number - 1)
    short = last - first < timedelta(days=number)
    marks = []
    for place in range(number):
        at = first + step * place
        text = f"{at.day} {at:%b %H:%M}" if short else f"{at.day} {at:%b}"
        anchor = "start" if not place else "end" if place == number - 1 else "middle"
        marks.append(Mark(x(at), text, anchor))
    return tuple(marks)


def _round_up(units: int) -> int:
    """Return the next amount with one or two leading digits, so that a quarter of it is short to write."""
    whole = -(-units // UNITS_PER_CREDIT)
    size = 1
    while True:
        for lead in (1, 2, 4, 6, 8):
            if lead * size >= whole:
                return lead * size * UNITS_PER_CREDIT
        size *= 10


def thinned(points: Sequence[_Kept], most: int) -> list[_Kept]:
    """Return at most so many of some points, evenly chosen, the last one among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]
