"""The archive as a notebook sees it, over a real S3 server with the sample archive in it."""

from __future__ import annotations

import json
import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import astropy.units as u
import numpy as np
import s3fs
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from roman_datamodels import datamodels
from romanhub.client.archive import Archive
from romanhub.client.errors import ArchiveUnavailableError, NotCoveredError, NotInArchiveError
from romanhub.client.exposures import ExposureList
from romanhub.client.sky import Footprint, as_position
from romanhub.client.storage import StorageAccess
from romanhub.models.archive import ArchiveIndex
from romanhub.portal.keyedstorage import KeyedStorage, StorageRefusedError

from tests.platform.client.conftest import TOKEN

#: The largest share of a file that opening it and reading its metadata may move.
OPENING = 0.1


@pytest.fixture(scope="session")
def index(sample) -> ArchiveIndex:
    return ArchiveIndex.model_validate_json((sample / "index.json").read_bytes())


@pytest.fixture(scope="session")
def center(index) -> SkyCoord:
    """A position that most exposures cover: the middle of the mosaic."""
    mosaic = next(record for record in index.exposures if record.level == 3)
    x, y, z = Footprint(mosaic.footprint).center
    return as_position(SkyCoord(x, y, z, representation_type="cartesian"))


def local(sample: Path, index: ArchiveIndex, name: str) -> Path:
    """The file of an image on this machine."""
    return sample / next(record.key for record in index.exposures if record.name == name)


def test_a_position_finds_the_dithered_exposures_and_not_the_neighbour(archive, index, center) -> None:
    found = archive.exposures(center)
    everything = archive.exposures()
    assert len(everything) == sum(record.level == 2 for record in index.exposures)
    assert 0 < len(found) < len(everything)
    neighbours = [exposure for exposure in everything if exposure.name not in found.names]
    assert all(not exposure.covers(center) for exposure in neighbours)
    assert all(exposure.covers(center) for exposure in found)
    for exposure in neighbours:
        assert exposure.name in archive.exposures(center, radius=0.5).names


def test_the_footprint_agrees_with_the_images_own_coordinates(archive, center) -> None:
    for exposure in archive.exposures(level=None):
        rows, columns = exposure.shape
        with exposure.open() as model:
            x, y = model.meta.wcs.invert(center.ra.deg, center.dec.deg, with_bounding_box=False)
            assert exposure.covers(center) == (-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5)


def test_exposures_are_a_sequence_and_a_table(archive) -> None:
    found = archive.exposures(filter="F158")
    assert isinstance(found[:2], ExposureList)
    assert found[0].footprint.shape == (4,)
    assert found[:2].names == found.names[:2]
    assert list(found) == [found[place] for place in range(len(found))]
    table = found.table
    assert isinstance(table, QTable)
    assert list(table["name"]) == found.names
    assert set(table["filter"]) == {"F158"}
    assert table["exposure_time"].unit == u.s
    assert table["start"][0].to_datetime() == found[0].start.replace(tzinfo=None)
    assert len(archive.exposures((1, 1)).table) == 0


def test_what_a_notebook_shows_of_a_search(archive) -> None:
    found = archive.exposures(filter="F158")
    html = found._repr_html_()
    for exposure in found:
        assert exposure.name in html
    for word in ("F158", "WFI01", "2027-06-01", "Exposure time", f"{len(found)} exposures"):
        assert word in html
    assert found[0].name in repr(found)
    assert archive.exposures(level=3)._repr_html_().startswith("<p>1 mosaic<")
    assert "No image in the archive" in archive.exposures((1, 1))._repr_html_()


def test_an_opened_exposure_is_the_files_own_data_model(archive, sample, index) -> None:
    name = archive.exposures()[0].name
    with archive.open(name) as model, datamodels.open(local(sample, index, name)) as plain:
        assert isinstance(model, datamodels.ImageModel)
        assert model.meta.filename == plain.meta.filename
        assert model.meta.exposure.start_time == plain.meta.exposure.start_time
        for array in ("data", "err", "dq"):
            np.testing.assert_array_equal(np.asarray(model[array]), np.asarray(plain[array]))


def test_all_arrays_of_an_exposure_are_read_at_once(archive, sample, index, moved) -> None:
    exposure = archive.exposures()[0]
    del moved[:]
    with exposure.open(whole=True) as model, datamodels.open(local(sample, index, exposure.name)) as plain:
        read = sum(moved)
        assert len(moved) < 10
        for array in ("data", "err", "dq", "var_poisson"):
            np.testing.assert_array_equal(np.asarray(model[array]), np.asarray(plain[array]))
        assert sum(moved) == read


def test_a_mosaic_opens_as_a_mosaic(archive) -> None:
    with archive.exposures(level=3)[0].open() as model:
        assert isinstance(model, datamodels.MosaicModel)


def test_opening_reads_a_small_part_of_the_file(archive, moved) -> None:
    exposure = archive.exposures()[0]
    with exposure.open() as model:
        assert model.meta.instrument.optical_element == exposure.filter
        assert model.meta.wcs is not None
        assert sum(moved) < OPENING * exposure.record.size
        assert len(moved) <= 4  # the archive's index in two, the file's, and its tree
        before = sum(moved)
        assert np.isfinite(model.data[0, 0])
        assert sum(moved) > before


def test_opening_a_large_file_moves_less_than_a_hundredth_of_it(storage_server, large_archive, moved) -> None:
    # Uncompressed, one array of 2048 x 2048 float32 numbers is 16.8 MB.
    exposure = large_archive.exposures()[0]
    assert exposure.record.size > 30_000_000
    with exposure.open() as model:
        assert model.meta.wcs is not None
        assert sum(moved) < 100_000
        assert len(moved) <= 8  # it has no index beside it, so the blocks' headers are read too
        moved.clear()
        assert model.data[100, 100] == 0.5
        assert model.data[100:110].mean() == 0.5
        assert sum(moved) == 4 + 10 * 2048 * 4
        moved.clear()
        assert np.mean(model.data) == 0.5
        assert sum(moved) == 2048 * 2048 * 4
        assert model.data.std() == 0
        assert model.data[5, 5] == 0.5
        assert sum(moved) == 2048 * 2048 * 4


def test_a_cutout_is_the_images_own_pixels(archive, sample, index, center) -> None:
    exposure = archive.exposures(center)[0]
    cutout = exposure.cutout(center, (40, 60))
    top, left = cutout.corner
    with datamodels.open(local(sample, index, exposure.name)) as plain:
        piece = np.s_[top : top + 40, left : left + 60]
        np.testing.assert_array_equal(cutout.data, plain.data[piece])
        np.testing.assert_array_equal(cutout.err, plain.err[piece].astype(np.float32))
        np.testing.assert_array_equal(cutout.dq, plain.dq[piece])
        # A pixel of the cutout and the same pixel of the image are one place on the sky.
        own = np.array(cutout.wcs(7, 11))
        whole = np.array(plain.meta.wcs(left + 7, top + 11))
        np.testing.assert_allclose(own, whole, rtol=0, atol=1e-12)
    assert cutout.name == exposure.name
    assert (cutout.filter, cutout.detector) == (exposure.filter, exposure.detector)
    assert (cutout.start, cutout.exposure_time) == (exposure.start, exposure.exposure_time)
    assert cutout.unit == u.DN / u.s
    assert cutout.conversion_megajanskys is not None
    assert repr(cutout) == f"<Cutout of {exposure.name}: 40 x 60 pixels, {exposure.filter}>"


def test_a_cutout_reads_what_is_used_and_what_is_pickled_is_whole(archive, center, moved) -> None:
    exposure = archive.exposures(center)[0]
    exposure.cutout(center, 40)  # the image's description is at hand from here on
    moved.clear()
    cutout = exposure.cutout(center, 40)
    pixels = sum(moved)
    assert np.nanmin(cutout.err) > 0
    everything = sum(moved)
    assert 0 < pixels < everything
    sent = pickle.loads(pickle.dumps(cutout))
    np.testing.assert_array_equal(sent.dq, cutout.dq)
    assert sum(moved) == everything


def test_a_cutout_is_centred_on_the_position(archive, center) -> None:
    for exposure in archive.exposures(center, level=None):
        cutout = exposure.cutout(center, 33)
        x, y = cutout.wcs.invert(center.ra.deg, center.dec.deg)
        assert abs(x - 16) <= 0.5
        assert abs(y - 16) <= 0.5
        ra, dec = cutout.wcs(x, y)
        assert SkyCoord(ra, dec, unit="deg").separation(center) < 0.0011 * u.arcsec  # a hundredth of a pixel


def test_a_cutouts_size_can_be_an_angle(archive, center) -> None:
    exposure = archive.exposures(center)[0]
    cutout = exposure.cutout(center, 5 * u.arcsec)
    rows, columns = cutout.shape
    assert rows == columns
    edge = SkyCoord(*cutout.wcs([-0.5, columns - 0.5], [rows / 2, rows / 2], with_bounding_box=False), unit="deg")
    assert edge[0].separation(edge[1]).arcsec == pytest.approx(5, abs=0.12)  # to a pixel
    assert exposure.cutout(center, (3 * u.arcsec, 20)).shape[1] == 20


@pytest.mark.parametrize("size", [0, -3, 2.5, "big", (1, 2, 3), None, 5 * u.s])
def test_a_size_that_is_none_is_said_to_be_none(archive, center, size) -> None:
    with pytest.raises(ValueError, match=r"cannot be a cutout's size\. Give whole pixels"):
        archive.exposures(center)[0].cutout(center, size)


def test_a_size_far_beyond_the_image_is_refused(archive, center) -> None:
    with pytest.raises(ValueError, match="far larger than the image, which has 512 x 512"):
        archive.exposures(center)[0].cutout(center, 5 * u.deg)


def test_beyond_the_edge_a_cutout_is_empty_and_says_so(archive, sample, index) -> None:
    exposure = archive.exposures()[0]
    with datamodels.open(local(sample, index, exposure.name)) as plain:
        corner = SkyCoord(*plain.meta.wcs(2, 3), unit="deg")
        cutout = exposure.cutout(corner, 21)
        assert cutout.corner == (-7, -8)
        assert np.isnan(cutout.data[:7]).all()
        assert np.isnan(cutout.err[:, :8]).all()
        np.testing.assert_array_equal(cutout.data[7:, 8:], plain.data[:14, :13])
    assert cutout.bad[:7].all()
    assert cutout.bad[:, :8].all()
    assert not cutout.bad.all()


def test_a_footprints_corners_are_covered(archive) -> None:
    for exposure in archive.exposures():
        for corner in exposure.footprint:
            assert exposure.cutout(corner, 4).shape == (4, 4)


def test_flagged_pixels_are_bad(archive, center) -> None:
    cutout = archive.exposures(center)[0].cutout(center, 30)
    assert not cutout.bad[4, 5]
    cutout.dq[4, 5] |= np.uint32(1)
    cutout.dq[6, 7] |= np.uint32(2)  # saturated, which by itself does not say not to use it
    assert cutout.bad[4, 5]
    assert not cutout.bad[6, 7]


def test_a_position_off_the_image_is_not_cut(archive, center) -> None:
    away = next(exposure for exposure in archive.exposures() if not exposure.covers(center))
    with pytest.raises(NotCoveredError, match=f"The image {away.name} does not cover the position"):
        away.cutout(center, 20)
    opposite = SkyCoord((center.ra.deg + 180) % 360, -center.dec.deg, unit="deg")
    for exposure in archive.exposures(center, level=None):
        with pytest.raises(NotCoveredError):
            exposure.cutout(opposite, 20)


def test_a_mosaics_cutout_has_no_data_quality_and_its_own_unit(archive, center) -> None:
    cutout = archive.exposures(level=3)[0].cutout(center, 20)
    assert cutout.dq is None
    assert cutout.detector is None
    assert cutout.unit == u.MJy / u.sr
    assert cutout.conversion_megajanskys is None


def test_the_catalogue_has_units_and_sources_in_the_image(archive, index) -> None:
    [record] = index.catalogs
    catalog = archive.sources(record.name)
    assert len(catalog) == record.rows
    assert catalog["ra"].unit == u.deg
    assert catalog["ra"].description
    image = archive.exposures(level=3)[0]
    assert record.image == image.name
    assert all(image.covers((row["ra"], row["dec"])) for row in catalog)
    assert len(archive.sources(image)) == len(archive.sources(image.name)) == record.rows


def test_a_misspelt_name_is_answered_with_the_nearest(archive) -> None:
    name = archive.exposures()[0].name
    with pytest.raises(NotInArchiveError, match=f"The nearest names are: .*{name}"):
        archive.open(name.replace("wfi", "wfl"))
    with pytest.raises(NotInArchiveError, match="no table of sources named"):
        archive.sources(name)
    assert issubclass(NotInArchiveError, LookupError)


def over_the_wire(thing):
    """What another process gets when this one sends it something."""
    return pickle.loads(pickle.dumps(thing))


def test_handles_travel_to_another_process(archive, center) -> None:
    # What a Dask worker gets.
    exposures = archive.exposures(center)
    for sent in (exposures[0], over_the_wire(exposures)[0], over_the_wire(exposures[0])):
        assert sent.cutout(center, 10).shape == (10, 10)
    again = over_the_wire(archive)
    assert again.exposures(center).names == exposures.names
    cutout = exposures[0].cutout(center, 10)
    back = over_the_wire(cutout)
    np.testing.assert_array_equal(back.data, cutout.data)
    np.testing.assert_allclose(back.wcs(3, 4), cutout.wcs(3, 4), rtol=0, atol=1e-12)


def test_dask_workers_cut_out_and_open(archive, center, monkeypatch) -> None:
    from distributed import Client, LocalCluster

    monkeypatch.delenv("JUPYTERHUB_API_TOKEN", raising=False)
    monkeypatch.delenv("ROMANHUB_PORTAL_URL", raising=False)
    exposures = archive.exposures(center)

    def level(exposure):
        return float(np.median(exposure.cutout(center, 50).data))

    def opened(name):
        with archive.open(name) as model:
            return model.meta.instrument.optical_element

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        levels = client.gather(client.map(level, list(exposures)))
        assert levels == [level(exposure) for exposure in exposures]
        assert client.gather(client.map(opened, exposures.names)) == [exposure.filter for exposure in exposures]
        assert client.submit(lambda: archive.exposures(center).names).result() == exposures.names
        stack = archive.stack(exposures[:2], center, 16)
        rows = exposures[0].to_dask()[:20]
        mean, chunk = client.gather(client.compute([stack.mean(), rows]))
    np.testing.assert_allclose(mean, stack.mean().compute(scheduler="threads"))
    with exposures[0].open() as model:
        np.testing.assert_array_equal(chunk, model.data[:20])


def test_the_broker_is_asked_once_and_only_when_needed(portal, stored) -> None:
    portal.show_archive(stored.access)
    archive = Archive()
    assert portal.asked == []
    archive.exposures()
    archive.exposures(level=3)
    assert portal.asked == ["api/credentials"]
    archive.catalogs()
    archive.reconnect()
    archive.exposures()
    assert portal.asked == ["api/credentials", "api/products"], "keys that still work are not asked for again"


def test_a_catalogue_is_found_by_its_data_set_and_not_in_the_index(portal, stored, monkeypatch) -> None:
    portal.show_archive(stored.access)
    archive = Archive()
    monkeypatch.setattr(archive, "_listed", lambda: pytest.fail("The whole index is read."))
    # Of a data set that nobody has filled there is nothing to open.
    assert archive.catalogs() == ["gaia", "roman-detections", "roman-sources"]
    assert len(archive.catalog("gaia", cone=((270.0, 66.0), 0.2)).to_table())
    for name in ("rubin", "roman-l2", "roman-source"):
        with pytest.raises(NotInArchiveError, match=f"no catalogue named {name!r}"):
            archive.catalog(name)


def said(action: Callable[[], object]) -> str:
    """The whole traceback of what an action raises, as a notebook prints it."""
    with pytest.raises(ArchiveUnavailableError) as caught:
        action()
    return "".join(traceback.format_exception(caught.value))


def test_nothing_shows_the_storages_address_or_key(archive, stored, center) -> None:
    exposures = archive.exposures(center)
    access = archive._connected().access
    shown = [
        *map(
            repr, (archive, exposures, exposures[0], exposures[0].cutout(center, 8), archive._connected(), access)
        ),
        *map(str, (archive, exposures, exposures[0], access)),
        f"{access}",
        exposures._repr_html_(),
        str(exposures.table),
        repr(archive.sources(archive.exposures(level=3)[0])),
        repr(exposures[0].open()),
    ]
    for text in shown:
        for secret in stored.secrets:
            assert secret not in text


def with_key(access: StorageAccess, **changes: str) -> Archive:
    """An archive whose access is wrong in one thing."""
    plain = access.model_dump() | {
        "access_key": access.access_key.get_secret_value(),
        "secret_key": access.secret_key.get_secret_value(),
    }
    return Archive(StorageAccess.model_validate(plain | changes))


def test_a_storage_that_is_down_is_said_to_be_down(stored) -> None:
    archive = with_key(stored.access, endpoint="http://127.0.0.1:9")
    text = said(archive.exposures)
    assert "did not answer when the archive's index was read" in text
    assert "127.0.0.1" not in text


def test_a_refused_key_is_said_to_be_refused(stored) -> None:
    text = said(with_key(stored.access, secret_key="not-the-right-one").exposures)
    assert "refused to read the archive's index" in text
    assert "archive.reconnect()" in text
    for secret in [*stored.secrets, "not-the-right-one"]:
        assert secret not in text


def test_the_key_cannot_write(stored) -> None:
    access = stored.access
    files = s3fs.S3FileSystem(
        key=access.access_key.get_secret_value(),
        secret=access.secret_key.get_secret_value(),
        client_kwargs={"endpoint_url": access.endpoint, "region_name": access.region},
    )
    with pytest.raises(PermissionError):
        files.pipe_file(f"{access.bucket}/mine", b"x")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not hold the file of the archive's index"),
        (b"{}", "cannot be understood"),
        (b"\x00", "cannot be understood"),
    ],
)
def test_an_index_that_is_gone_or_garbled_is_said_to_be(storage_server, stored, content, words) -> None:
    storage_server.fill("broken", {} if content is None else {"index.json": content})
    text = said(with_key(stored.access, bucket="broken").exposures)
    assert words in text
    for secret in stored.secrets:
        assert secret not in text


def test_files_that_are_gone_short_or_garbled_are_said_to_be(storage_server, stored, sample, index) -> None:
    image = next(record for record in index.exposures if record.level == 2)
    [catalog] = index.catalogs
    listed = {"index.json": json.dumps(json.loads((sample / "index.json").read_text())).encode()}
    storage_server.fill("broken", listed)
    archive = with_key(stored.access, bucket="broken")
    assert f"does not hold the file of {image.name}" in said(lambda: archive.open(image.name))
    assert f"does not hold the file of {catalog.name}" in said(lambda: archive.sources(catalog.name))

    storage_server.fill("broken", listed | {image.key: (sample / image.key).read_bytes()[:50_000]})
    assert f"file of {image.name} is shorter" in said(lambda: archive.open(image.name))

    storage_server.fill("broken", listed | {image.key: bytes(image.size), catalog.key: bytes(catalog.size)})
    assert f"file of {image.name} cannot be understood" in said(lambda: archive.open(image.name))
    assert f"file of {catalog.name} cannot be understood" in said(lambda: archive.sources(catalog.name))


def test_a_file_that_goes_away_while_it_is_open_is_said_to_be_gone(storage_server, stored, sample, index) -> None:
    image = next(record for record in index.exposures if record.level == 2)
    whole = {key: (sample / key).read_bytes() for key in ("index.json", image.key)}
    storage_server.fill("broken", whole)
    model = with_key(stored.access, bucket="broken").open(image.name)
    storage_server.fill("broken", {})
    text = said(lambda: model.err[0, 0])
    assert f"does not hold the file of {image.name}" in text
    for secret in stored.secrets:
        assert secret not in text


def test_the_portal_reads_with_the_keys_that_a_readers_own_token_gets(portal, stored, index) -> None:
    portal.show_archive(stored.access)
    storage = KeyedStorage(os.environ["ROMANHUB_BROKER_URL"])
    record = next(one for one in index.exposures if one.level == 2)
    assert storage.of(TOKEN, "roman-l2").size(record.key) == record.size
    with pytest.raises(StorageRefusedError, match="may not read the data set"):
        storage.of(TOKEN, "roman-l4")
    with pytest.raises(StorageRefusedError, match="Not yours"):
        storage.of("somebody-elses", "roman-l2")
