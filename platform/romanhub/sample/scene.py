"""The sources in the sample field: galaxies after COSMOS2020, and stars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from romanhub.sample.plan import PlacedStar, Scene


def _placed(scene: Scene, stars: Sequence[PlacedStar], bands: list[str]) -> Any:
    """Return the rows of stars that the plan places itself."""
    from astropy.table import Table

    rows = []
    for star in stars:
        place = scene.center.offset(star.east, star.north)
        flux = 10 ** (-star.magnitude / 2.5)
        shape: dict[str, Any] = {"type": "PSF", "n": -1.0, "half_light_radius": 0.0, "pa": 0.0, "ba": 1.0}
        rows.append({"ra": place.ra, "dec": place.dec, **shape, **dict.fromkeys(bands, flux)})
    return Table(rows)


def make_scene(scene: Scene, optical_elements: list[str], seed: int) -> Any:
    """Return the table of sources, one row each, that romanisim can render.

    Columns: ra and dec (degrees), type (SER for a Sersic profile or PSF for a star), n,
    half_light_radius (arcseconds), pa (degrees), ba, and for each filter the flux in units of the
    AB zero point (3631 Jy). The stars that the plan places come first. The same arguments give the same table.
    """
    import galsim
    import numpy as np
    from astropy.coordinates import SkyCoord
    from astropy.table import vstack
    from romanisim import catalog

    rng = galsim.UniformDeviate(seed + 1)  # galsim takes a seed of zero to mean a random one
    center = SkyCoord(scene.center.ra, scene.center.dec, unit="deg")
    bands = sorted({*optical_elements, scene.reference_filter})
    galaxies = catalog.make_cosmos_galaxies(center, radius=scene.radius, bandpasses=bands, rng=rng)
    limit = 10 ** (-scene.faintest_galaxy / 2.5)
    keep = np.asarray(galaxies[scene.reference_filter]) > limit
    keep &= np.asarray(galaxies["half_light_radius"]) < scene.largest_galaxy
    for band in bands:
        keep &= np.asarray(galaxies[band]) > 0
    area = np.pi * (scene.radius * 60) ** 2
    stars = catalog.make_stars(
        center,
        n=round(scene.stars_per_square_arcminute * area),
        radius=scene.radius,
        index=scene.star_count_slope,
        faintmag=scene.faintest_star,
        bandpasses=bands,
        rng=rng,
    )
    table = vstack([_placed(scene, scene.placed_stars, bands), galaxies[keep], stars])
    table["ra"] = np.asarray(table["ra"]) % 360
    return table


def scene_at(table: Any, scene: Scene, moment: datetime) -> Any:
    """Return what `make_scene` returned, and behind it the scene's changing sources as they are at a moment."""
    from astropy.table import vstack

    bands = [name for name in table.colnames if name.startswith("F")]
    return vstack([table, _placed(scene, scene.changed(moment), bands)])
