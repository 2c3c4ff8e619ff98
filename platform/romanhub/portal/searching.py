"""What somebody asks of the archive on the portal's search page: read, checked, and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from urllib.parse import urlencode

#: The filters that can be chosen: those of the Wide Field Instrument.
FILTERS = ("F062", "F087", "F106", "F129", "F146", "F158", "F184", "F213")

#: How many images a page shows.
SHOWN = 200

#: The units of the radius, in degrees.
UNITS = {"deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}
_UNIT_NAMES = {"deg": "degrees", "arcmin": "arcminutes", "arcsec": "arcseconds"}


class ConditionError(Exception):
    """A condition cannot be understood; the message says what to write instead."""


@dataclass(frozen=True)
class Form:
    """The fields of the form as they were filled in; an empty one is no condition."""

    position: str = ""
    radius: str = ""
    unit: str = "arcmin"
    element: str = ""
    level: str = ""
    after: str = ""
    before: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Form:
        """Return the form in an address's query; what it does not know it passes over."""
        given = {field.name: query[field.name].strip()[:200] for field in fields(cls) if field.name in query}
        return cls(**given)

    @property
    def asked(self) -> bool:
        """Whether anything was asked."""
        return self != Form(unit=self.unit)

    @property
    def query(self) -> str:
        """The address's query with these fields, those that are empty left out."""
        return urlencode({field.name: value for field in fields(self) if (value := getattr(self, field.name))})


@dataclass(frozen=True)
class Conditions:
    """What is asked: positions and radii in degrees, moments in UTC."""

    position: tuple[float, float] | None
    radius: float | None
    element: str | None
    level: int | None
    after: datetime | None
    before: datetime | None

    def parameters(self, limit: int = SHOWN) -> list[tuple[str, str]]:
        """Return the conditions as the search service names them."""
        found = [("limit", str(limit))]
        if self.position is not None:
            found.append(("pos", f"{self.position[0]:.10f},{self.position[1]:.10f}"))
        if self.radius is not None:
            found.append(("radius", f"{self.radius:.10f}"))
        for name, value in (("filter", self.element), ("level", self.level)):
            if value is not None:
                found.append((name, str(value)))
        for name, moment in (("after", self.after), ("before", self.before)):
            if moment is not None:
                found.append((name, moment.isoformat()))
        return found

    def notebook(self) -> str:
        """Return the conditions as the query of what makes a notebook in somebody's server."""
        given: dict[str, object] = {}
        if self.position is not None:
            given |= {"ra": f"{self.position[0]:.10f}", "dec": f"{self.position[1]:.10f}"}
        values = ("radius", self.radius), ("filter", self.element), ("level", self.level)
        given |= {name: value for name, value in values if value is not None}
        moments = ("after", self.after), ("before", self.before)
        given |= {name: moment.isoformat() for name, moment in moments if moment is not None}
        return urlencode(given)


def understood(form: Form) -> Conditions:
    """Return what a form asks. Raises ConditionError for the first field that cannot be understood."""
    # astropy takes a while to import, which a portal that nobody searches with need not.
    from romanhub.client.search import as_moment
    from romanhub.client.sky import as_position

    position = None
    if form.position:
        try:
            place = as_position(form.position)
        except ValueError:
            raise ConditionError(
                f"“{form.position}” is not a position. Write right ascension and declination, as degrees such as "
                "270.0 66.0 or as 18h00m00s +66d00m00s. Names of sources are not looked up."
            ) from None
        position = (float(place.ra.deg), float(place.dec.deg))
    radius = None
    if form.radius:
        if position is None:
            raise ConditionError("A radius needs a position to be around. Write both, or only a position.")
        try:
            radius = float(form.radius) * UNITS[form.unit]
        except (ValueError, KeyError):
            radius = -1.0
        if not 0 <= radius <= 180:
            raise ConditionError(
                f"“{form.radius}” cannot be the radius. Write a number of "
                f"{_UNIT_NAMES.get(form.unit, 'degrees')}, zero or more, of at most 180 degrees."
            )
    if form.element not in ("", *FILTERS):
        raise ConditionError(f"Roman has no filter “{form.element}”. Its filters are {', '.join(FILTERS)}.")
    if form.level not in ("", "2", "3"):
        raise ConditionError("Images are of Level 2 (exposures) or of Level 3 (mosaics).")
    moments = []
    for word, text in (("after", form.after), ("before", form.before)):
        try:
            moments.append(as_moment(text, word) if text else None)
        except ValueError:
            raise ConditionError(
                f"“{text}” is not a time. Write a date such as 2027-06-01, or 2027-06-01T03:20, in UTC."
            ) from None
    return Conditions(
        position=position,
        radius=radius,
        element=form.element or None,
        level=int(form.level) if form.level else None,
        after=moments[0],
        before=moments[1],
    )
