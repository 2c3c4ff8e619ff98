"""Searches for images by what SIA and the JSON door ask: conditions on the store's table of images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from romanhub.discovery import geometry
from romanhub.discovery.adql import predicates
from romanhub.discovery.adql.shapes import Shape
from romanhub.discovery.params import UsageError
from romanhub.discovery.tables import Entry

ALIAS = "images"


@dataclass
class Conditions:
    """Conditions that all hold, each made of ones of which any does, with their parameters."""

    sql: list[str] = field(default_factory=list)
    parameters: list[object] = field(default_factory=list)

    def open_to(self, datasets: Collection[str]) -> None:
        """Let through the images of these data sets alone."""
        self.among("dataset", sorted(datasets))

    def among(self, column: str, values: Sequence[object]) -> None:
        """Let through rows whose column is one of the values; none where there are no values."""
        if not values:
            self.sql.append("false")
            return
        places = ", ".join(self._place(value) for value in values)
        self.sql.append(f'"{ALIAS}"."{column}" IN ({places})')

    def between(self, low: str, high: str, intervals: Iterable[tuple[float, float]]) -> None:
        """Let through rows whose interval from one column to another meets one of the intervals."""
        some = [
            f'("{ALIAS}"."{low}" <= {self._place(stop)} AND "{ALIAS}"."{high}" >= {self._place(start)})'
            for start, stop in intervals
        ]
        if some:
            self.sql.append("(" + " OR ".join(some) + ")")

    def compare(self, column: str, comparison: str, value: object) -> None:
        """Let through rows whose column compares so with a value; the comparison is the caller's own text."""
        self.sql.append(f'"{ALIAS}"."{column}" {comparison} {self._place(value)}')

    def any_of(self, conditions: Sequence[str]) -> None:
        """Let through rows for which one of the conditions, in the database's SQL, holds."""
        if conditions:
            self.sql.append("(" + " OR ".join(conditions) + ")")

    def _place(self, value: object) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    @property
    def where(self) -> str:
        """All of them as one condition."""
        return " AND ".join(self.sql) or "true"


def touching(entry: Entry, numbers: tuple[float, ...]) -> str:
    """Return the condition that a footprint touches a shape (degrees). Raises ShapeError."""
    geometry.check(numbers)
    kind = {2: "point", 3: "circle"}.get(len(numbers), "polygon")
    shape = Shape(tuple(repr(number) for number in numbers), numbers, kind=kind)
    return predicates.intersects(shape, Shape((), entry=entry, alias=ALIAS, kind="region"))


def numbers(texts: Sequence[str], what: str) -> tuple[float, ...]:
    """Return numbers from texts. Raises UsageError, which `what` names the parameter in."""
    try:
        return tuple(float(text) for text in texts)
    except ValueError:
        raise UsageError(f"{what} has to be made of numbers; it was {' '.join(texts)!r}.") from None
