"""HEALPix cells, in which rows are sorted, so that a search reads only what is near.

Cells are numbered in the nested scheme, in which what is near on the sky is mostly near in number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import astropy.units as u
import numpy as np
from astropy.coordinates import Latitude, Longitude
from cdshealpix import nested
from numpy.typing import NDArray

from romanhub.discovery.geometry import Array

#: The order of the cells of sources: the finest, as in HATS catalogues.
SOURCE_ORDER = 29
#: The order of the cells of images' centres (12 mas). The bits above are the class of its size, see `image_cells`.
IMAGE_ORDER = 24
_CLASS_SHIFT = 52
#: The class of an image is the power of two of degrees that its reach stays below, from this one on.
_SMALLEST = -10

#: The width of a cell in radians is about this by 2 to the minus order: the root of a base cell's solid angle.
_BASE_WIDTH = math.sqrt(4 * math.pi / 12)

Ranges = list[tuple[int, int]]


def cell_numbers(ra: Array, dec: Array, order: int) -> NDArray[np.int64]:
    """Return the nested numbers of the cells that hold positions in degrees, shape (n,)."""
    if not len(ra):
        return np.zeros(0, np.int64)
    found = nested.lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), order)
    return np.asarray(found).astype(np.int64)


def cone_ranges(ra: float, dec: float, radius: float, order: int) -> Ranges | None:
    """Return ranges of cells of an order, both ends included, that cover a cone; degrees.

    A few dozen ranges at most, so they cover somewhat more than the cone. None: the cone is most of the sky.
    """
    # Cones are widened by what double precision may lose, so that nothing at the very edge is missed.
    radius = radius * (1 + 1e-9) + 1e-7
    if radius >= 60:
        return None
    depth = min(order, max(0, int(math.log2(_BASE_WIDTH / math.radians(radius)) + 1.5)))
    numbers, depths, _ = nested.cone_search(
        Longitude(ra % 360, u.deg), Latitude(dec, u.deg), radius * u.deg, depth, depth_delta=min(2, 29 - depth)
    )
    shifts = (2 * (order - np.asarray(depths).astype(np.int64))).astype(np.int64)
    starts = np.asarray(numbers).astype(np.int64) << shifts
    stops = ((np.asarray(numbers).astype(np.int64) + 1) << shifts) - 1
    return merged(zip(starts.tolist(), stops.tolist(), strict=True))


def merged(ranges: Iterable[tuple[int, int]], *, most: int = 24) -> Ranges:
    """Return ranges with those that touch made one, and the smallest gaps closed until `most` are left."""
    found: Ranges = []
    for start, stop in sorted(ranges):
        if found and start <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    while len(found) > most:
        gap = min(range(1, len(found)), key=lambda place: found[place][0] - found[place - 1][1])
        found[gap - 1 : gap + 1] = [(found[gap - 1][0], found[gap][1])]
    return found


def size_classes(reach: Array) -> NDArray[np.int64]:
    """Return the class of images that reach so many degrees from their centres, shape (n,)."""
    with np.errstate(divide="ignore"):
        power = np.ceil(np.log2(np.maximum(reach, 2.0**_SMALLEST) * (1 + 1e-12)))
    return power.astype(np.int64) - _SMALLEST


def class_reach(size_class: int) -> float:
    """Return how many degrees an image of a class reaches at most from its centre."""
    return float(2.0 ** (size_class + _SMALLEST))


def image_cells(ra: Array, dec: Array, reach: Array) -> NDArray[np.int64]:
    """Return the numbers that images are sorted by: the class of their size, then the cell of their centre.

    By class, because a search must look as far beyond its own edge as an image reaches, and a few large mosaics
    would have it look far for every exposure.
    """
    return (size_classes(reach) << _CLASS_SHIFT) | cell_numbers(ra, dec, IMAGE_ORDER)


def image_ranges(ra: float, dec: float, radius: float, classes: Iterable[int], *, reaching: bool) -> Ranges | None:
    """Return ranges of `image_cells`: of images that may touch a cone or, not `reaching`, are centred there."""
    found: Ranges = []
    for each in classes:
        ranges = cone_ranges(ra, dec, radius + (class_reach(each) if reaching else 0.0), IMAGE_ORDER)
        above = each << _CLASS_SHIFT
        if ranges is None:
            found.append((above, above | ((1 << _CLASS_SHIFT) - 1)))
        else:
            found += [(above | start, above | stop) for start, stop in ranges]
    return merged(found, most=96)
