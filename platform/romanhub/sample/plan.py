"""What the sample archive holds: the field, the pointings, the filters and the names.

Nothing here simulates or reads anything. Positions are ICRS degrees, offsets arcseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

#: The pixels along one side of a Wide Field Instrument detector that see the sky.
DETECTOR_PIXELS = 4088

#: The pixel scale of the Wide Field Instrument, arcseconds per pixel, from the mission's technical
#: information for the instrument.
PIXEL_SCALE = 0.11

#: The smallest exposure on a side, pixels: below it the dithered exposures no longer share the centre.
MIN_PIXELS = 256


@dataclass(frozen=True)
class Position:
    """A place on the sky: right ascension and declination, ICRS, in degrees."""

    ra: float
    dec: float

    def offset(self, east: float, north: float) -> Position:
        """Return the position that lies `east` and `north` arcseconds away on the tangent plane.

        The gnomonic deprojection of Calabretta and Greisen (2002), equations 14, 15 and 54.
        """
        xi, eta = math.radians(east / 3600), math.radians(north / 3600)
        dec = math.radians(self.dec)
        below = math.cos(dec) - eta * math.sin(dec)
        ra = self.ra + math.degrees(math.atan2(xi, below))
        return Position(
            ra % 360,
            math.degrees(math.atan2(math.sin(dec) + eta * math.cos(dec), math.hypot(xi, below))),
        )

    def separation(self, other: Position) -> float:
        """Return the angle to another position, in arcseconds, by Vincenty's formula."""
        delta = math.radians(other.ra - self.ra)
        here, there = math.radians(self.dec), math.radians(other.dec)
        across = math.hypot(
            math.cos(there) * math.sin(delta),
            math.cos(here) * math.sin(there) - math.sin(here) * math.cos(there) * math.cos(delta),
        )
        along = math.sin(here) * math.sin(there) + math.cos(here) * math.cos(there) * math.cos(delta)
        return math.degrees(math.atan2(across, along)) * 3600


@dataclass(frozen=True)
class PlacedStar:
    """A star put at a place of its own, of one AB magnitude in every filter."""

    east: float  # arcseconds from the scene's centre
    north: float
    magnitude: float


#: Three stars near the centre of the field, which every exposure of it sees, bright enough to measure
#: the coordinate systems and the point-spread function with and too faint to saturate.
PLACED_STARS = (
    PlacedStar(2.7, 8.4, 19.6),
    PlacedStar(-9.3, -5.2, 20.1),
    PlacedStar(7.6, -8.8, 20.6),
)


@dataclass(frozen=True)
class VariableStar:
    """A star whose AB magnitude, the same in every filter, follows a sine."""

    east: float  # arcseconds from the scene's centre
    north: float
    magnitude: float  # the mean
    amplitude: float  # magnitudes, from the mean to an extreme
    period: float  # days

    def at(self, days: float) -> PlacedStar:
        """Return the star as it is some days after the epoch, when it brightens through its mean."""
        shift = self.amplitude * math.sin(2 * math.pi * days / self.period)
        return PlacedStar(self.east, self.north, self.magnitude - shift)


@dataclass(frozen=True)
class MovingSource:
    """A point that moves evenly over the scene, of one AB magnitude in every filter."""

    east: float  # arcseconds from the scene's centre, at the scene's epoch
    north: float
    rate_east: float  # arcseconds a day
    rate_north: float
    magnitude: float

    def at(self, days: float) -> PlacedStar:
        """Return the source where it is some days after the scene's epoch."""
        return PlacedStar(self.east + self.rate_east * days, self.north + self.rate_north * days, self.magnitude)


#: A star that is brighter in some epochs than in others by half a magnitude, away from its neighbours.
VARIABLE_STAR = VariableStar(10.5, 4.5, magnitude=20.3, amplitude=0.5, period=4.0)

#: Something as far away as the Kuiper belt, near where its motion turns: 18 arcseconds in the six days of the
#: field's exposures, and six thousandths of an arcsecond in one of them.
MOVING_SOURCE = MovingSource(-12.0, -2.0, rate_east=3.0, rate_north=0.2, magnitude=21.2)

_FIRST_VISIT = datetime(2027, 6, 1, 3, 20, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Scene:
    """The sources on the sky that every exposure sees, and two that are not the same in each.

    Galaxies have the counts, colours and sizes of the COSMOS2020 catalogue that romanisim carries.
    """

    center: Position
    radius: float = 0.25  # degrees; reaches past the corners of every whole exposure in the plan
    faintest_galaxy: float = 25.5  # AB magnitude in the reference filter
    #: Arcseconds, half-light radius: the few larger sizes in the catalogue are failed measurements, and
    #: romanisim, which cannot draw some of them, would draw the source before such a one a second time.
    largest_galaxy: float = 5.0
    reference_filter: str = "F158"
    stars_per_square_arcminute: float = 8.0
    faintest_star: float = 23.5  # AB magnitude before the scatter between filters
    star_count_slope: float = 0.25  # d log10(number) / d magnitude
    placed_stars: tuple[PlacedStar, ...] = PLACED_STARS
    changing: tuple[VariableStar | MovingSource, ...] = (VARIABLE_STAR, MOVING_SOURCE)
    epoch: datetime = _FIRST_VISIT

    def changed(self, moment: datetime) -> tuple[PlacedStar, ...]:
        """Return the changing sources as they are at a moment."""
        days = (moment - self.epoch) / timedelta(days=1)
        return tuple(source.at(days) for source in self.changing)


#: How long an exposure with `Exposure.ma_table` takes: 44 reads of 3.16247 seconds.
_EXPOSURE = timedelta(seconds=139.1487)


@dataclass(frozen=True)
class Exposure:
    """One planned exposure of one detector: where its centre points, when, through which filter."""

    pass_number: int
    visit: int
    exposure: int
    optical_element: str
    start: datetime
    visit_start: datetime
    target: Position
    position_angle: float  # degrees east of north, of the detector's ideal y axis
    dither: tuple[float, float]  # arcseconds, east and north of the visit's target
    exposures_in_visit: int
    program: int = 101
    execution_plan: int = 1
    segment: int = 1
    observation: int = 1
    detector: str = "WFI01"
    ma_table: int = 4  # 44 reads in 9 resultants, 139 s: that of the wide imaging survey

    @property
    def middle(self) -> datetime:
        """When the exposure is half over."""
        return self.start + _EXPOSURE / 2

    @property
    def visit_id(self) -> str:
        """The visit's identifier, in Roman's form PPPPPCCAAASSSOOOVVV."""
        return (
            f"{self.program:05d}{self.execution_plan:02d}{self.pass_number:03d}{self.segment:03d}"
            f"{self.observation:03d}{self.visit:03d}"
        )

    @property
    def name(self) -> str:
        """The exposure's name in the archive: its file's name without the ending."""
        return f"r{self.visit_id}_{self.exposure:04d}_{self.detector.lower()}_{self.optical_element.lower()}_cal"

    @property
    def key(self) -> str:
        """The key of the exposure's file in the archive."""
        return f"level2/{self.name}.asdf"


@dataclass(frozen=True)
class Mosaic:
    """The planned mosaic: north up, centred on the field, from some of the exposures."""

    name: str
    optical_element: str
    center: Position
    pixel_scale: float = PIXEL_SCALE

    @property
    def key(self) -> str:
        """The key of the mosaic's file in the archive."""
        return f"level3/{self.name}.asdf"

    @property
    def catalog_name(self) -> str:
        """The name of the catalogue of the mosaic's sources."""
        return self.name.removesuffix("_coadd") + "_cat"

    @property
    def catalog_key(self) -> str:
        """The key of the catalogue's file in the archive."""
        return f"catalogs/{self.catalog_name}.parquet"


@dataclass(frozen=True)
class SamplePlan:
    """Everything that one sample archive will hold."""

    seed: int
    size: int
    center: Position
    scene: Scene
    exposures: tuple[Exposure, ...] = field(default_factory=tuple)
    mosaic: Mosaic | None = None

    def mosaic_members(self) -> tuple[Exposure, ...]:
        """Return the exposures that go into the mosaic: those of its filter that see its centre."""
        if self.mosaic is None:
            return ()
        reach = self.size * PIXEL_SCALE / 2
        return tuple(
            exposure
            for exposure in self.exposures
            if exposure.optical_element == self.mosaic.optical_element
            and exposure.target.separation(self.mosaic.center) < reach
        )

    def exposure_seed(self, exposure: Exposure) -> int:
        """Return the seed of one exposure's noise: the plan's, moved by the exposure's place in it."""
        return self.seed * 1000 + 1 + self.exposures.index(exposure)


#: The centre of the sample field. It lies in Roman's continuous viewing zone, within 36 degrees of the
#: ecliptic pole, so that Roman can point there on any date.
FIELD_CENTER = Position(270.0, 66.0)

#: The neighbour's centre, arcseconds east and north of the field's. It is 534 arcseconds away, further
#: than half a whole detector's diagonal (318 arcseconds), so that at any position angle the neighbour
#: does not cover the field's centre and a search by position tells them apart.
NEIGHBOR_OFFSET = (330.0, 420.0)

#: Time from the start of one exposure to the start of the next in a visit: the exposure and a small slew.
_CADENCE = timedelta(seconds=221)


@dataclass(frozen=True)
class _Visit:
    pass_number: int
    optical_element: str
    after: timedelta
    position_angle: float
    dithers: tuple[tuple[float, float], ...]
    offset: tuple[float, float] = (0.0, 0.0)


_VISITS = (
    _Visit(1, "F158", timedelta(days=0), 0.0, ((-5.2, 4.1), (6.3, -7.4))),
    _Visit(2, "F106", timedelta(days=1, hours=6), 0.0, ((-6.7, -5.9), (4.8, 7.2))),
    _Visit(3, "F158", timedelta(days=4, hours=11), 15.0, ((7.9, 5.6), (-8.3, -3.7))),
    _Visit(4, "F106", timedelta(days=6, hours=2), 15.0, ((8.1, -4.4), (-5.0, 8.6))),
    _Visit(5, "F158", timedelta(days=9, hours=19), 30.0, ((0.0, 0.0),), NEIGHBOR_OFFSET),
)


def _exposures(center: Position) -> Iterator[Exposure]:
    for visit in _VISITS:
        start = _FIRST_VISIT + visit.after
        target = center.offset(*visit.offset)
        for number, dither in enumerate(visit.dithers):
            yield Exposure(
                pass_number=visit.pass_number,
                visit=1,
                exposure=number + 1,
                optical_element=visit.optical_element,
                start=start + number * _CADENCE,
                visit_start=start,
                target=target.offset(*dither),
                position_angle=visit.position_angle,
                dither=dither,
                exposures_in_visit=len(visit.dithers),
            )


def sample_plan(*, size: int, seed: int) -> SamplePlan:
    """Return the plan of the sample archive with exposures of `size` by `size` pixels.

    Raises ValueError for a size that a detector does not have.
    """
    if not MIN_PIXELS <= size <= DETECTOR_PIXELS:
        raise ValueError(
            f"An exposure can be {MIN_PIXELS} to {DETECTOR_PIXELS} pixels on a side; {size} was asked for."
        )
    if seed < 0:
        raise ValueError(f"The seed must be zero or more; {seed} was given.")
    center = FIELD_CENTER
    return SamplePlan(
        seed=seed,
        size=size,
        center=center,
        scene=Scene(center=center),
        exposures=tuple(_exposures(center)),
        mosaic=Mosaic(
            name="r00101_p_full_270p66_f158_coadd",
            optical_element="F158",
            center=center,
        ),
    )
