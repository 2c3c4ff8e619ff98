"""Which of the archive's images a search finds. Decides only; reads nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, TypeAlias

import numpy as np
from astropy.coordinates import Angle, SkyCoord
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


@dataclass(frozen=True)
class Conditions:
    """What a search for images asks for, understood; None for what it leaves open."""

    position: SkyCoord | None
    radius: Angle | None
    filters: frozenset[str] | None
    after: datetime | None
    before: datetime | None
    level: int | None

    @classmethod
    def of(
        cls,
        *,
        position: Any = None,
        radius: Any = None,
        filter: str | Iterable[str] | None = None,  # noqa: A002  -- the word that astronomers use
        after: TimeLike | None = None,
        before: TimeLike | None = None,
        level: int | None = 2,
    ) -> Conditions:
        """Return the conditions of `romanhub.client.archive.Archive.exposures`.

        :raises ValueError: for a condition that cannot be understood.
        """
        check_asked(level, position, radius)
        return cls(
            position=None if position is None else as_position(position),
            radius=None if radius is None else as_angle(radius, "radius"),
            filters=None if filter is None else as_filters(filter),
            after=None if after is None else as_moment(after, "after"),
            before=None if before is None else as_moment(before, "before"),
            level=level,
        )

    def fulfilled_by(self, record: ExposureRecord) -> bool:
        """Say whether an image fulfils them, apart from where it is."""
        return (
            self.level in (None, record.level)
            and (self.filters is None or record.optical_element in self.filters)
            and (self.after is None or record.start >= self.after)
            and (self.before is None or record.start < self.before)
        )


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

    def find(self, wanted: Conditions) -> list[ExposureRecord]:
        """Return the images that fulfil every condition, by the start of their exposure."""
        records = (self.records[place] for place in self._covering(wanted.position, wanted.radius))
        return [record for record in records if wanted.fulfilled_by(record)]

    def _covering(self, position: SkyCoord | None, radius: Angle | None) -> Sequence[int]:
        """Return the places of the images that cover the position or touch the cone around it."""
        if position is None:
            return range(len(self.records))
        point = vector_of(position)
        around = radians(radius) if radius is not None else 0.0
        near = np.flatnonzero(separation(self._centers, point) <= self._reaches + around + 1e-6)
        return [int(place) for place in near if self._footprints[place].touches(point, around)]


def check_asked(level: int | None, position: Any, radius: Any) -> None:
    """Turn down a search for images at a level that there is not, or with a radius around nothing.

    :raises ValueError: it is one.
    """
    if level not in (2, 3, None):
        raise ValueError(
            f"The archive holds no Level {level} images. Ask for level=2 (exposures), level=3 (mosaics) or "
            "level=None (both)."
        )
    if position is None and radius is not None:
        raise ValueError("A radius needs a position to be around: give both, or only a position.")


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
