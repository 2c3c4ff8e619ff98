"""The committed HATS catalogues hold what is in the images, and their margins what lies around a partition."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from romanhub.models.archive import ArchiveIndex
from romanhub.sample.plan import FIELD_CENTER, PLACED_STARS

pytest.importorskip("lsdb", reason="catalogues are read in the notebook's environment")

import lsdb
import numpy as np
from astropy.coordinates import SkyCoord
from romanhub.sample.photometry import sky_of


@pytest.fixture(scope="module")
def tables(archive: Path, index: ArchiveIndex) -> dict[str, Any]:
    return {record.name: lsdb.open_catalog(archive / record.key) for record in index.hats}


def test_each_has_the_rows_that_the_index_says_units_and_a_margin(tables, index: ArchiveIndex) -> None:
    assert set(tables) == {"roman-sources", "roman-detections", "gaia"}
    for record in index.hats:
        table = tables[record.name]
        assert len(table.compute()) == record.rows
        assert len(table.get_healpix_pixels()) > 1, "more than one partition, or margins would mean nothing"
        assert table.margin is not None
        for name in table.columns:
            assert table.original_schema.field(name).metadata[b"description"], name


def test_every_detection_is_a_peak_of_its_exposure_at_its_time(archive: Path, index: ArchiveIndex, tables) -> None:
    from roman_datamodels import datamodels

    rows = tables["roman-detections"].compute()
    for record in index.exposures[:3]:
        ours = rows[rows["exposure"] == record.name]
        assert len(ours) > 15
        middle = datetime.fromtimestamp((float(ours["mjd"].iloc[0]) - 40587) * 86400, UTC)
        assert (middle - record.start).total_seconds() == pytest.approx(record.exposure_time / 2, abs=0.01)
        assert set(ours["optical_element"]) == {record.optical_element}
        with datamodels.open(archive / record.key) as model:
            sky = sky_of(model)
            x, y = sky.wcs.invert(ours["ra"].to_numpy(float), ours["dec"].to_numpy(float), with_bounding_box=False)
        peaks = [
            sky.data[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].max()
            for column, row in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True)
        ]
        assert min(peaks) > 3 * sky.scatter


@pytest.mark.parametrize("star", PLACED_STARS, ids=lambda star: f"magnitude {star.magnitude}")
def test_a_placed_star_is_in_all_three_at_its_place_and_about_its_magnitude(tables, star) -> None:
    place = FIELD_CENTER.offset(star.east, star.north)
    here = SkyCoord(place.ra, place.dec, unit="deg")
    near = {name: table.cone_search(place.ra, place.dec, 0.3).compute() for name, table in tables.items()}

    assert len(near["roman-detections"]) == 8, "every exposure of the field found it once"
    for rows in near.values():
        found = SkyCoord(rows["ra"].to_numpy(float), rows["dec"].to_numpy(float), unit="deg")
        assert here.separation(found).arcsec.max() < 0.03
    # The aperture holds about five sixths of a star's light.
    magnitudes = -2.5 * np.log10(near["roman-detections"]["flux"].to_numpy(float)) + 23.9
    assert np.all(np.abs(magnitudes - star.magnitude - 0.17) < 0.08)
    (source,) = near["roman-sources"].to_dict("records")
    for band in ("f106", "f158"):
        magnitude = -2.5 * np.log10(source[f"aper04_{band}_flux"]) + 23.9
        # The mosaic's pixels have spread a star's light a little further.
        assert magnitude == pytest.approx(star.magnitude + (0.17 if band == "f106" else 0.28), abs=0.06)
    assert source["f106_exposures"] == 4
    (reference,) = near["gaia"].to_dict("records")
    assert reference["phot_g_mean_mag"] == pytest.approx(star.magnitude)


def test_the_margins_hold_every_neighbour_of_a_partition_and_nothing_else(tables) -> None:
    table = tables["roman-sources"]
    whole = table.compute()
    everything = SkyCoord(whole["ra"].to_numpy(float), whole["dec"].to_numpy(float), unit="deg")
    for pixel, inside in zip(table.get_healpix_pixels(), table.to_delayed(), strict=True):
        rows = inside.compute()
        beside = table.margin.get_partition(pixel.order, pixel.pixel).compute()
        own = SkyCoord(rows["ra"].to_numpy(float), rows["dec"].to_numpy(float), unit="deg")
        _, away, _ = everything.match_to_catalog_sky(own)
        near = set(whole["label"][away.arcsec < 9.0]) - set(rows["label"])
        assert near, "sources lie near the partition's edge"
        assert near <= set(beside["label"])
        assert set(beside["label"]).isdisjoint(rows["label"])
