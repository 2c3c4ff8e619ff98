"""Detections in the order of time: at a position, for a light curve, or along the path of something that moves."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from astropy.time import Time
from astropy.timeseries import TimeSeries

from romanhub.client.sky import separation, unit_vectors

#: The finest cells that cover a path: order 14 is 13 arcseconds across.
_CELLS = 14

_PATH_HELP = (
    "Give a table with a column `time` (astropy times, or modified Julian dates in UTC) and columns `ra` "
    "and `dec` in degrees, with two rows or more."
)


def in_time_order(rows: Table, away: Any) -> TimeSeries:
    """Return detections as a time series, the earliest first.

    :param rows: rows of a catalogue of detections, with the columns `mjd`, `ra`, `dec`, `optical_element`, `flux`,
        `flux_err` and others, which are kept.
    :param away: how far each is from where it was looked for, in arcseconds, shape (rows,).
    """
    order = np.argsort(np.asarray(rows["mjd"], float), kind="stable")
    rows, away = rows[order], np.asarray(away, float)[order]
    data = QTable()
    data["filter"] = rows["optical_element"]
    first = ("flux", "flux_err", "ra", "dec")
    for name in (*first, *(other for other in rows.colnames if other not in (*first, "mjd", "optical_element"))):
        data[name] = rows[name]
    data.add_column(away * u.arcsec, name="separation", index=3)
    return TimeSeries(time=Time(np.asarray(rows["mjd"], float), format="mjd", scale="utc"), data=data)


class Path:
    """Where something that moves is, as a function of time.

    :param table: see `_PATH_HELP`. Between the times of its rows it moves along a great circle at an even speed.
    :raises ValueError: for a table that is no path.
    """

    def __init__(self, table: Any) -> None:
        try:
            time = table["time"]
            moments = np.asarray(time.utc.mjd if isinstance(time, Time) else time, float)
            ra, dec = (_degrees(table[name]) for name in ("ra", "dec"))
            if moments.ndim != 1 or len(moments) < 2 or not np.all(np.isfinite([moments, ra, dec])):
                raise ValueError
        except (KeyError, TypeError, ValueError, u.UnitsError):
            raise ValueError(f"This is not a path on the sky. {_PATH_HELP}") from None
        order = np.argsort(moments)
        self.moments = moments[order]
        self.points = unit_vectors(ra, dec)[order]
        if np.any(np.diff(self.moments) == 0):
            raise ValueError("A path has one position at each time; this one has two at the same time.")

    def at(self, moments: Any) -> Any:
        """Return the unit vectors, shape (n, 3), at modified Julian dates within the path's times."""
        moments = np.asarray(moments, float)
        step = np.clip(np.searchsorted(self.moments, moments, side="right") - 1, 0, len(self.moments) - 2)
        start, stop = self.points[step], self.points[step + 1]
        share = (moments - self.moments[step]) / (self.moments[step + 1] - self.moments[step])
        angle = separation(start, stop)
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = np.stack([np.sin((1 - share) * angle), np.sin(share * angle)]) / np.sin(angle)
        still = angle < 1e-12
        weights[:, still] = np.stack([1 - share, share])[:, still]
        return weights[0][:, np.newaxis] * start + weights[1][:, np.newaxis] * stop

    def region(self, radius: float) -> Any:
        """Return the MOC of all that is within `radius`, in radians, of the path."""
        from mocpy import MOC

        start, stop = self.points[:-1], self.points[1:]
        length = separation(start, stop)
        # So many points on each step that the circles around them cover what lies between.
        pieces = np.maximum(1, np.ceil(length / max(2 * radius, 1e-5))).astype(int).clip(max=64)
        middles, reaches = [], []
        for place, count in enumerate(pieces):
            share = (np.arange(count) + 0.5) / count
            moments = self.moments[place] + share * (self.moments[place + 1] - self.moments[place])
            middles.append(self.at(moments))
            reaches.append(np.full(count, radius + length[place] / count / 2))
        points, reach = np.concatenate(middles), np.concatenate(reaches)
        sky = SkyCoord(*points.T, representation_type="cartesian").represent_as("unitspherical")
        return MOC.from_cones(
            lon=sky.lon, lat=sky.lat, radius=reach * u.rad, max_depth=_CELLS, union_strategy="small_cones"
        )


def _degrees(column: Any) -> Any:
    """Return a column of angles in degrees."""
    unit = getattr(column, "unit", None)
    return np.asarray(u.Quantity(column, unit or u.deg).to_value(u.deg), float)
