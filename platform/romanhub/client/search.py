"""Which of the archive's images a search finds. Decides only; reads nothing."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, TypeAlias

import numpy as np
from astropy.time import Time

from romanhub.client.errors import NotInArchiveError
from romanhub.client.sky import Footprint, as_angle, as_position, radians, separation, vector_of
from romanhub.models.archive import ExposureRecord

#: Roman's optical elements for the Wide Field Instrument, in Roman's spelling: the allowed values of the
#: reference data model `wfi_optical_element` (Roman Attribute Dictionary, 1.1).
FILTERS = ("F062", "F087", "F106", "F129", "F146", "F158", "F184", "F213")
OPTICAL_ELEMENTS = frozenset([*FILTERS, "GRISM", "PRISM", "DARK", "NOT_CONFIGURED"])

#: What a search takes for a moment: naive datetimes and texts without an offset are in UTC.
TimeLike: TypeAlias = "Time | datetime | date | str"


class Records:
    """The index's images, arranged for searches by position.

    A search compares the position with every image's enclosing circle at once and only then looks at
    single footprints, so it stays quick for hundreds of thousands of images.
    """

    def __init__(self, records: Iterable[ExposureRecord]) -> None:
        self.records = tuple(sorted(records, key=lambda record: (record.start, record.name)))
        self.by_name = {record.name: record for record in self.records}
        self._footprints = [Footprint(record.footprint) for record in self.records]
        self._centers = np.array([footprint.center for footprint in self._footprints]).reshape(-1, 3)
        self._reaches = np.array([footprint.reach for footprint in self._footprints])

    def named(self, name: str) -> ExposureRecord:
        """Return the image of that name. Raises NotInArchiveError with the nearest names."""
        try:
            return self.by_name[name]
        except KeyError:
            raise not_in_archive(name, self.by_name, "image") from None

    def find(
        self,
        *,
        position: Any = None,
        radius: Any = None,
        filter: str | Iterable[str] | None = None,  # noqa: A002  -- the word that astronomers use
        after: TimeLike | None = None,
        before: TimeLike | None = None,
        level: int | None = 2,
    ) -> list[ExposureRecord]:
        """Return the images that fulfil every condition given, by the start of their exposure.

        See `romanhub.client.archive.Archive.exposures` for the conditions.
        :raises ValueError: for a condition that cannot be understood.
        """
        if level not in (2, 3, None):
            raise ValueError(
                f"The archive holds no Level {level}. Ask for level=2 (exposures), level=3 (mosaics) or "
                "level=None (both)."
            )
        conditions: list[Callable[[ExposureRecord], bool]] = []
        if level is not None:
            conditions.append(lambda record: record.level == level)
        if filter is not None:
            wanted = as_filters(filter)
            conditions.append(lambda record: record.optical_element in wanted)
        if after is not None:
            earliest = as_moment(after, "after")
            conditions.append(lambda record: record.start >= earliest)
        if before is not None:
            latest = as_moment(before, "before")
            conditions.append(lambda record: record.start < latest)
        places = self._covering(position, radius)
        return [
            self.records[place]
            for place in places
            if all(condition(self.records[place]) for condition in conditions)
        ]

    def _covering(self, position: Any, radius: Any) -> Sequence[int]:
        """Return the places of the images that cover the position or touch the cone around it."""
        if position is None:
            if radius is not None:
                raise ValueError("A radius needs a position to be around: give both, or only a position.")
            return range(len(self.records))
        point = vector_of(as_position(position))
        around = radians(as_angle(radius, "radius")) if radius is not None else 0.0
        near = np.flatnonzero(separation(self._centers, point) <= self._reaches + around + 1e-6)
        return [int(place) for place in near if self._footprints[place].touches(point, around)]


def as_filters(wanted: str | Iterable[str]) -> frozenset[str]:
    """Return filters in Roman's spelling. Raises ValueError for one that Roman does not have."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    found = frozenset(str(name).upper() for name in names)
    unknown = sorted(found - OPTICAL_ELEMENTS)
    if unknown:
        raise ValueError(f"Roman has no filter {unknown[0]}. Its filters are {', '.join(FILTERS)}.")
    return found


def as_moment(moment: Any, what: str) -> datetime:
    """Return a moment in UTC. `what` names it in errors; raises ValueError for what is no moment."""
    if isinstance(moment, Time) and moment.isscalar:
        found = moment.utc.to_datetime(timezone=UTC, leap_second_strict="silent")
        assert isinstance(found, datetime)
        return found
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        if isinstance(moment, date) and not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        if isinstance(moment, datetime):
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except ValueError:
        pass
    raise ValueError(
        f"{moment!r} cannot be the time for `{what}`. Give a text such as '2027-06-01' or "
        "'2027-06-01T03:20:00', a datetime or an astropy Time; times are in UTC."
    )


def not_in_archive(name: Any, known: Iterable[str], kind: str) -> NotInArchiveError:
    """Return the error for an unknown name, with the known names that are nearest to it."""
    near = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.6)
    hint = (
        f"The nearest names are: {', '.join(near)}."
        if near
        else "`archive.exposures(level=None)` lists the images and `archive.catalogs()` the catalogues."
    )
    return NotInArchiveError(f"The archive has no {kind} named {name!r}. {hint}")
