"""The committed sample archive is what its index says: whole files, sound coordinates, real sources."""

from __future__ import annotations

import hashlib
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from romanhub.models.archive import FILE_INDEX_ENDING, INDEX_KEY, ArchiveIndex, ExposureRecord
from romanhub.sample import small_archive
from romanhub.sample.plan import FIELD_CENTER, PIXEL_SCALE, PLACED_STARS, Position

datamodels = pytest.importorskip(
    "roman_datamodels.datamodels", reason="reading the images needs the notebook's environment"
)
np = pytest.importorskip("numpy", reason="reading the images needs the notebook's environment")
parquet = pytest.importorskip("pyarrow.parquet", reason="reading the catalogue needs pyarrow")

INDEX = ArchiveIndex.model_validate_json((small_archive() / INDEX_KEY).read_bytes())
images = pytest.mark.parametrize("record", INDEX.exposures, ids=lambda record: record.name)


def separation(here: Position, ra: float, dec: float) -> float:
    return here.separation(Position(float(ra), float(dec)))


def covers(record: ExposureRecord, place: Position) -> bool:
    """Say whether the record's footprint, the sky taken as flat around `place`, goes round `place`."""
    flat = [((ra - place.ra) * np.cos(np.radians(place.dec)), dec - place.dec) for ra, dec in record.footprint]
    inside = False
    for (x, y), (u, v) in zip(flat, flat[1:] + flat[:1], strict=True):
        if (y > 0) != (v > 0) and x - y * (u - x) / (v - y) > 0:
            inside = not inside
    return inside


@pytest.fixture(scope="module")
def level2(index: ArchiveIndex) -> list[ExposureRecord]:
    return [record for record in index.exposures if record.level == 2]


@pytest.fixture(scope="module")
def mosaic_record(index: ArchiveIndex) -> ExposureRecord:
    (record,) = [record for record in index.exposures if record.level == 3]
    return record


@pytest.fixture(scope="module")
def catalog(archive: Path, index: ArchiveIndex) -> Any:
    return parquet.read_table(archive / index.catalogs[0].key)


def test_every_file_is_listed_with_its_true_size_and_checksum(archive: Path, index: ArchiveIndex) -> None:
    parts = [file for catalog in index.hats for file in catalog.files]
    listed = {record.key: record for record in (*index.exposures, *index.catalogs, *parts)}
    present = {
        path.relative_to(archive).as_posix()
        for path in archive.rglob("*")
        if path.is_file()
        and path.name not in (INDEX_KEY, "README.md")
        # What lies beside an image to read it in pieces belongs to it.
        and not path.name.endswith(FILE_INDEX_ENDING)
    }
    assert present == set(listed)
    for key, record in listed.items():
        content = (archive / key).read_bytes()
        assert len(content) == record.size, key
        assert hashlib.sha256(content).hexdigest() == record.sha256, key


def test_the_archive_stays_small_enough_to_commit(index: ArchiveIndex) -> None:
    assert sum(record.size for record in (*index.exposures, *index.catalogs)) < 12e6
    assert sum(file.size for catalog in index.hats for file in catalog.files) < 1e6


def test_the_readme_names_the_command_that_the_index_names(archive: Path, index: ArchiveIndex) -> None:
    assert index.made_by in (archive / "README.md").read_text()
    assert "--output DIR" in index.made_by


def test_it_holds_two_filters_over_several_days_and_a_larger_mosaic(
    level2: list[ExposureRecord], mosaic_record: ExposureRecord
) -> None:
    filters = [record.optical_element for record in level2]
    assert filters.count("F106") == 4
    assert filters.count("F158") == 5
    starts = [record.start for record in level2]
    assert max(starts) - min(starts) > timedelta(days=5)
    assert min(mosaic_record.shape) > max(max(record.shape) for record in level2)
    assert mosaic_record.exposure_time > max(record.exposure_time for record in level2)


@images
def test_an_image_opens_is_valid_and_lies_where_the_index_says(archive: Path, record: ExposureRecord) -> None:
    with datamodels.open(archive / record.key) as model:
        expected = datamodels.ImageModel if record.level == 2 else datamodels.MosaicModel
        assert type(model) is expected
        model.validate()
        assert model.meta.filename == Path(record.key).name == f"{record.name}.asdf"
        assert model.meta.instrument.optical_element == record.optical_element
        rows, columns = record.shape
        for name in ("data", "err", "var_poisson", "var_rnoise"):
            assert model[name].shape == (rows, columns), name
        assert np.isfinite(model.data).mean() > (0.99 if record.level == 2 else 0.7)

        wcs = model.meta.wcs
        x, y = np.meshgrid(np.linspace(0, columns - 1, 9), np.linspace(0, rows - 1, 9))
        back_x, back_y = wcs.invert(*wcs(x, y, with_bounding_box=False), with_bounding_box=False)
        assert np.abs(back_x - x).max() < 0.01
        assert np.abs(back_y - y).max() < 0.01

        corners = [(-0.5, -0.5), (columns - 0.5, -0.5), (columns - 0.5, rows - 0.5), (-0.5, rows - 0.5)]
        for corner, vertex in zip(corners, record.footprint, strict=True):
            assert separation(Position(*vertex), *wcs(*corner, with_bounding_box=False)) < 1e-3


@images
def test_an_image_says_when_it_was_taken_as_the_index_does(archive: Path, record: ExposureRecord) -> None:
    with datamodels.open(archive / record.key) as model:
        meta = model.meta
        start = meta.exposure.start_time if record.level == 2 else meta.coadd_info.time_first
        seconds = meta.exposure.exposure_time if record.level == 2 else meta.coadd_info.exposure_time
        assert abs(start.to_datetime(timezone=UTC) - record.start) < timedelta(milliseconds=1)
        assert seconds == pytest.approx(record.exposure_time)


def test_a_position_tells_the_field_from_its_neighbour(
    archive: Path, level2: list[ExposureRecord], mosaic_record: ExposureRecord
) -> None:
    on_field = [record for record in level2 if covers(record, FIELD_CENTER)]
    assert len(on_field) == 8
    (neighbour,) = [record for record in level2 if record not in on_field]
    assert neighbour.optical_element == "F158"
    assert covers(mosaic_record, FIELD_CENTER)
    for record in level2:
        with datamodels.open(archive / record.key) as model:
            x, y = model.meta.wcs.invert(FIELD_CENTER.ra, FIELD_CENTER.dec, with_bounding_box=False)
        rows, columns = record.shape
        inside = bool(-0.5 < x < columns - 0.5 and -0.5 < y < rows - 0.5)
        assert inside == (record in on_field), record.name


def test_the_mosaic_reaches_over_all_exposures_of_its_filter_on_the_field(
    archive: Path, level2: list[ExposureRecord], mosaic_record: ExposureRecord
) -> None:
    with datamodels.open(archive / mosaic_record.key) as mosaic:
        wcs, (rows, columns) = mosaic.meta.wcs, mosaic.data.shape
        members = set(mosaic.meta.resample.members)
    joined = [record for record in level2 if f"{record.name}.asdf" in members]
    assert len(joined) == 4
    for record in joined:
        assert record.optical_element == mosaic_record.optical_element
        x, y = wcs.invert(*np.transpose(record.footprint), with_bounding_box=False)
        assert x.min() > -1.5
        assert x.max() < columns + 0.5
        assert y.min() > -1.5
        assert y.max() < rows + 0.5


@pytest.mark.parametrize("star", PLACED_STARS, ids=lambda star: f"magnitude {star.magnitude}")
def test_a_bright_star_is_at_one_place_on_the_sky_in_all_exposures(
    archive: Path, level2: list[ExposureRecord], star: Any
) -> None:
    from photutils.centroids import centroid_2dg

    place = FIELD_CENTER.offset(star.east, star.north)
    away: dict[str, list[float]] = {"F106": [], "F158": []}
    for record in level2:
        if not covers(record, FIELD_CENTER):
            continue
        with datamodels.open(archive / record.key) as model:
            wcs = model.meta.wcs
            x, y = wcs.invert(place.ra, place.dec, with_bounding_box=False)
            left, top = round(float(x)) - 4, round(float(y)) - 4
            stamp = np.asarray(model.data[top : top + 9, left : left + 9], dtype=float)
            stamp -= np.median(model.data)
            right, up = centroid_2dg(stamp)
            away[record.optical_element].append(separation(place, *wcs(left + right, top + up)))
    assert len(away["F106"]) == len(away["F158"]) == 4
    assert max(away["F158"]) < 0.05 * PIXEL_SCALE
    # Through F106 a star is narrower than a pixel, and where in its pixel it falls biases the fit.
    assert max(away["F106"]) < 0.2 * PIXEL_SCALE


def test_the_catalogue_lists_sources_that_are_in_the_mosaic(
    archive: Path, index: ArchiveIndex, mosaic_record: ExposureRecord, catalog: Any
) -> None:
    (record,) = index.catalogs
    assert record.image == mosaic_record.name
    assert record.rows == catalog.num_rows > 50
    columns = {name: catalog[name].to_numpy() for name in catalog.column_names}
    with datamodels.open(archive / mosaic_record.key) as model:
        data, wcs = np.asarray(model.data), model.meta.wcs
    ra, dec = wcs(columns["x"], columns["y"], with_bounding_box=False)
    away = [
        Position(a, d).separation(Position(b, e))
        for a, d, b, e in zip(columns["ra"], columns["dec"], ra, dec, strict=True)
    ]
    assert max(away) < 0.001
    scatter = 1.4826 * np.nanmedian(np.abs(data - np.nanmedian(data)))
    peaks = [
        np.nanmax(data[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3])
        for x, y in zip(np.rint(columns["x"]).astype(int), np.rint(columns["y"]).astype(int), strict=True)
    ]
    assert min(peaks) > 2 * scatter


def test_the_catalogues_magnitudes_are_those_of_the_mosaics_pixels(
    archive: Path, mosaic_record: ExposureRecord, catalog: Any
) -> None:
    columns = {name: catalog[name].to_numpy() for name in catalog.column_names}
    clean = np.flatnonzero((columns["flags"] == 0) & (columns["mag_ab"] < 22))
    assert clean.size >= 3
    with datamodels.open(archive / mosaic_record.key) as model:
        data, area = np.asarray(model.data, dtype=float), (PIXEL_SCALE / 3600 * np.pi / 180) ** 2
    y, x = np.indices(data.shape)
    for row in clean:
        radius = np.hypot(x - columns["x"][row], y - columns["y"][row])
        # The pixels within two arcseconds, less the median of a ring around them; MJy/sr to uJy.
        background = np.nanmedian(data[(radius > 30) & (radius < 45)])
        flux = np.nansum(data[radius < 18] - background) * area * 1e12
        assert -2.5 * np.log10(flux) + 23.9 == pytest.approx(columns["mag_ab"][row], abs=0.3)
        assert columns["mag_ab"][row] == pytest.approx(23.9 - 2.5 * np.log10(columns["flux"][row]), abs=1e-3)


@pytest.mark.parametrize("star", PLACED_STARS, ids=lambda star: f"magnitude {star.magnitude}")
def test_the_catalogue_has_the_placed_stars_where_and_as_bright_as_they_are(star: Any, catalog: Any) -> None:
    place = FIELD_CENTER.offset(star.east, star.north)
    columns = {name: catalog[name].to_numpy() for name in catalog.column_names}
    away = np.array([separation(place, ra, dec) for ra, dec in zip(columns["ra"], columns["dec"], strict=True)])
    row = int(away.argmin())
    assert away[row] < 0.2 * PIXEL_SCALE
    # The Kron aperture leaves out the outer wings of the point-spread function, a fifth of the light.
    assert 0.0 < columns["mag_ab"][row] - star.magnitude < 0.35
    assert columns["fwhm"][row] < 0.8


def test_the_catalogue_says_what_its_columns_are(catalog: Any, mosaic_record: ExposureRecord) -> None:
    from astropy.units import Unit

    for field in catalog.schema:
        assert field.metadata[b"description"], field.name
        Unit(field.metadata[b"unit"].decode())
    assert {"ra", "dec", "flux", "mag_ab", "flags", "fwhm"} <= set(catalog.column_names)
    assert catalog.schema.metadata[b"image"].decode() == mosaic_record.name
