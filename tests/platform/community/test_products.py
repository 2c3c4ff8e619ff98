"""Data products in the catalogue: what becomes of files, what is asked, what is refused, what never changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from romanhub.community.errors import ConflictError, NoSuchEntryError, RefusedError, WrongSidecarError
from romanhub.community.inspector import Inspector
from romanhub.community.limits import Limits
from romanhub.community.products.scratch import Listed
from romanhub.community.storage import products
from romanhub.models.community import Act
from romanhub.models.products import CopyProgress, Manifest, Product

from tests.platform.community.product_files import ABOUT, UNITS, DiskScratch, light_curve, photo_z, sed
from tests.platform.community.shelf import Shelf


@pytest.fixture
def scratch(tmp_path: Path) -> DiskScratch:
    found = DiskScratch(tmp_path / "scratch")
    found.put("photoz/first.parquet", photo_z())
    found.put("photoz/README.md", b"# Redshifts")
    return found


def named(shelf: Shelf, *names: str) -> dict[str, Product]:
    """What can be read by name, as the broker reads it."""
    with shelf.catalogue.store.reading() as connection:
        return products.named(connection, names, bucket="roman-community", region="us-east-1")


def manifest_of(shelf: Shelf, name: str, number: int) -> Manifest:
    return shelf.catalogue.products.manifest(shelf.catalogue.version(name, number, viewer="ada"))


def publish(shelf: Shelf, scratch: DiskScratch, name: str = "photo-z", **more: Any) -> None:
    about = ABOUT | {"columns": UNITS} | more
    shelf.catalogue.products.draft("ada", name, scratch, "photoz", about)
    shelf.catalogue.publish("ada", name)


def test_units_are_taken_from_the_file_and_asked_for_where_it_has_none(shelf: Shelf, scratch: DiskScratch) -> None:
    draft = shelf.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT)
    assert draft.missing.keys() == {"columns"}
    assert "z, z_err" in draft.missing["columns"]
    with pytest.raises(ConflictError, match=r"lacks: columns \(The unit of each .* z, z_err"):
        shelf.catalogue.publish("ada", "photo-z")

    told = shelf.catalogue.products.say("ada", "photo-z", ABOUT | {"columns": UNITS})
    assert told.missing == {}
    manifest = manifest_of(shelf, "photo-z", 1)
    (table,) = manifest.tables
    assert [(one.name, one.dtype, one.unit) for one in table.columns] == [
        ("source_id", "int64", None), ("ra", "float64", "deg"), ("dec", "float64", "deg"),
        ("z", "float32", ""), ("z_err", "float32", ""),
    ]  # fmt: skip
    readme, first = manifest.files
    assert (readme.path, readme.tables) == ("README.md", ())
    assert (first.path, first.rows, first.sha256) == ("first.parquet", 100, sha256(photo_z()).hexdigest())
    assert (manifest.origin.datasets, manifest.origin.notebook) == (("roman-sources",), "photo-z-run@3")

    assert named(shelf, "community.photo-z") == {}, "a draft is nobody's to read"
    shelf.catalogue.publish("ada", "photo-z")
    found = named(shelf, "community.photo-z")["community.photo-z"]
    assert (found.format, found.version, found.deprecated) == ("parquet", 1, None)
    assert shelf.bucket.products[f"{found.prefix}first.parquet"] == photo_z()
    assert Manifest.model_validate_json(shelf.bucket.products[found.manifest]) == manifest


def test_versions_stay_and_each_is_read_by_its_own_name(shelf: Shelf, scratch: DiskScratch) -> None:
    publish(shelf, scratch)
    before = dict(shelf.bucket.products)
    scratch.put("photoz/first.parquet", photo_z(seed=2))
    publish(shelf, scratch)
    assert before.items() <= shelf.bucket.products.items(), "nothing of a version changes"
    found = named(
        shelf, "community.photo-z", "community.photo-z.v1", "community.photo-z.v2", "community.photo-z.v3"
    )
    assert found["community.photo-z"] == found["community.photo-z.v2"]
    assert found["community.photo-z.v1"].prefix != found["community.photo-z.v2"].prefix
    assert "community.photo-z.v3" not in found


def test_the_copy_tells_how_far_it_is(shelf: Shelf, scratch: DiskScratch) -> None:
    told: list[CopyProgress] = []
    draft = shelf.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT, told=told.append)
    assert list(dict.fromkeys(one.step for one in told)) == ["waiting", "fetching", "reading", "keeping"]
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert told[0].done == 0
    assert told[-1].done == told[-1].of == 2 * draft.version.size
    told.clear()
    shelf.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT, told=told.append)
    assert told[-1].done == told[-1].of, "what is there already counts as kept"


def test_what_breaks_off_is_gone_on_with_and_makes_the_same_objects(shelf: Shelf, scratch: DiskScratch) -> None:
    scratch.put("photoz/second.parquet", photo_z(seed=2))

    class Torn(type(shelf.bucket)):  # type: ignore[misc]
        """A bucket that breaks off after one file."""

        def put_in_folder(self, *given: Any) -> bool:
            if self.brought == 1:
                raise KeyboardInterrupt
            return bool(super().put_in_folder(*given))

    shelf.bucket.__class__ = Torn
    with pytest.raises(KeyboardInterrupt):
        shelf.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT)
    with pytest.raises(NoSuchEntryError):
        shelf.catalogue.entry("photo-z", viewer="ada")
    there = dict(shelf.bucket.products)
    shelf.bucket.__class__ = Torn.__base__
    shelf.bucket.brought = 0
    shelf.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT)
    # What was there was not brought again: the two other files, and the manifest, were.
    assert there.items() <= shelf.bucket.products.items()
    assert shelf.bucket.brought == len(shelf.bucket.products) - len(there) == 3
    shelf.bucket.brought = 0
    shelf.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT)
    assert shelf.bucket.brought == 0


def test_what_reads_it_and_what_made_it_are_linked(shelf: Shelf, scratch: DiskScratch) -> None:
    shelf.publish("bob", "photo-z-run")
    publish(shelf, scratch)
    shelf.publish("bob", "halo", datasets=["community.photo-z.v1"])
    shelf.publish("bob", "disc", datasets=["community.photo-z"])
    shelf.publish("bob", "bulge", datasets=["community.photo-z-other"])
    assert [one.name for one in shelf.catalogue.who_builds_on("photo-z")] == ["disc", "halo"]
    assert [one.name for one in shelf.catalogue.who_builds_on("photo-z-run")] == ["photo-z"]


def test_a_deprecated_one_says_so_and_a_withdrawn_one_is_gone(shelf: Shelf, scratch: DiskScratch) -> None:
    publish(shelf, scratch)
    shelf.catalogue.act("ada", (), "photo-z", Act.DEPRECATE, "The filters were wrong.")
    assert named(shelf, "community.photo-z")["community.photo-z"].deprecated == "The filters were wrong."
    with shelf.catalogue.store.reading() as connection:
        assert products.newest(connection, bucket="b-1", region="r") == {}
    shelf.catalogue.act("ada", (), "photo-z", Act.WITHDRAW, "It was all wrong.")
    assert named(shelf, "community.photo-z", "community.photo-z.v1") == {}
    assert shelf.bucket.products == {}
    assert shelf.catalogue.entry("photo-z").newest is not None, "the tombstone stays"
    with pytest.raises(NoSuchEntryError):
        manifest_of(shelf, "photo-z", 1)


def test_a_purge_leaves_what_is_public_and_takes_the_drafts(shelf: Shelf, scratch: DiskScratch) -> None:
    publish(shelf, scratch)
    kept = dict(shelf.bucket.products)
    scratch.put("photoz/first.parquet", photo_z(seed=3))
    shelf.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT)
    shelf.catalogue.tools.draft("ada", "fitter", TOOL)
    shelf.catalogue.publish("ada", "fitter")
    assert shelf.catalogue.purge("ada", actor="purge") == 1
    assert shelf.bucket.products == kept
    assert named(shelf, "community.photo-z")["community.photo-z"].version == 1
    assert shelf.catalogue.entry("fitter").state == "public"


TOOL = {
    name: value for name, value in ABOUT.items() if name not in ("notebook", "software")
} | {"requirement": "photoz-fit==1.2", "entry_point": "photoz-fit"}  # fmt: skip


def test_a_tool_does_not_wait_for_its_first_run(shelf: Shelf) -> None:
    shelf.catalogue.tools.draft("ada", "fitter", TOOL)
    shelf.catalogue.publish("ada", "fitter")
    found = shelf.catalogue.search()
    assert {one.value: one.entries for one in found.facets.statuses} == {"public": 1}
    assert shelf.catalogue.search(statuses=["never"]).cards == ()


def test_fits_and_asdf_say_their_own_columns(shelf: Shelf, scratch: DiskScratch) -> None:
    scratch.put("curves/one.fits", light_curve())
    scratch.put("curves/two.fits", light_curve())
    scratch.put("seds/one.asdf", sed())
    draft = shelf.catalogue.products.draft("ada", "curves", scratch, "curves", ABOUT)
    assert draft.missing == {}
    manifest = manifest_of(shelf, "curves", 1)
    (table,) = manifest.tables
    assert (manifest.format, table.place) == ("fits", "LIGHTCURVE")
    assert [(one.name, one.dtype, one.unit) for one in table.columns] == [
        ("mjd", "float64", "d"), ("flux", "float32", "uJy"), ("filter", "text", None),
    ]  # fmt: skip
    draft = shelf.catalogue.products.draft("ada", "seds", scratch, "seds", ABOUT)
    assert "flux, wavelength" in draft.missing["columns"]
    assert manifest_of(shelf, "seds", 1).tables[0].place == "sed"


@dataclass
class Told:
    """A scratch whose listing is what a test says, and which nobody may read from."""

    files: list[Listed] = field(default_factory=list)

    def listed(self, folder: str) -> Any:
        return iter(self.files)

    def fetch(self, folder: str, path: str, into: Path, moved: Any) -> None:
        raise AssertionError("nothing is read of what is refused by its listing")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([], "There is nothing in that folder"),
        ([Listed(f"{n}.parquet", 1) for n in range(4)], "more than 3 files"),
        ([Listed("a.parquet", 2_000_000)], r"larger than 1\.0 MB together"),
        ([Listed("a.parquet", 1), Listed("b.exe", 1)], r"b\.exe is of no format"),
        ([Listed("a.parquet", 1), Listed("b.fits", 1)], r"kept in several ways \(fits, parquet\)"),
        ([Listed("README.md", 1)], "There is no table among the files"),
        ([Listed("../ada/secret.parquet", 1)], "cannot be the path"),
        ([Listed("/etc/passwd.parquet", 1)], "cannot be the path"),
        ([Listed("a//b.parquet", 1)], "cannot be the path"),
        ([Listed(".hidden/b.parquet", 1)], "cannot be the path"),
        ([Listed("a\n.parquet", 1)], "cannot be the path"),
        ([Listed("*/b.parquet", 1)], "cannot be the path"),
        ([Listed("_romanhub/b.parquet", 1)], "the catalogue's own"),
        ([Listed("a.parquet", 1), Listed("README.md", 300_000)], "text of more than 200 kB"),
    ],
)
def test_what_cannot_be_a_product_is_refused_with_the_reason(shelf: Shelf, files: list[Listed], why: str) -> None:
    tight = Shelf(shelf.engine, limits=Limits(product_bytes=1_000_000, product_files=3))
    with pytest.raises(RefusedError, match=why):
        tight.catalogue.products.draft("ada", "photo-z", Told(files), "", ABOUT)
    assert tight.bucket.products == {}


@pytest.mark.parametrize("folder", ["../bob", "a/../../b", "..", "a b", "*"])
def test_a_folder_is_one_of_the_scratch_space(shelf: Shelf, folder: str) -> None:
    with pytest.raises(RefusedError, match="is no folder of a scratch space"):
        shelf.catalogue.products.draft("ada", "photo-z", Told(), folder, ABOUT)


def test_what_is_in_the_files_is_looked_at(shelf: Shelf, scratch: DiskScratch) -> None:
    draft = shelf.catalogue.products.draft
    with pytest.raises(RefusedError, match=r"first\.parquet has the checksum"):
        draft("ada", "photo-z", scratch, "photoz", ABOUT, checksums={"first.parquet": "0" * 64})
    with pytest.raises(RefusedError, match="there is no such file"):
        draft("ada", "photo-z", scratch, "photoz", ABOUT, checksums={"third.parquet": "0" * 64})
    scratch.put("photoz/broken.parquet", b"PAR1 is not enough")
    with pytest.raises(RefusedError, match=r"broken\.parquet: it cannot be read as PARQUET"):
        draft("ada", "photo-z", scratch, "photoz", ABOUT)
    (scratch.root / "photoz/broken.parquet").unlink()
    for columns, why in (
        ([{"name": "flux", "unit": "uJy"}], "There is no column 'flux'"),
        ([{"name": "z", "unit": "furlongs per fortnight?"}], "is no unit"),
        ([{"name": "ra", "unit": "hourangle"}], "the file says deg, and not hourangle"),
    ):
        with pytest.raises(WrongSidecarError, match=why) as refusal:
            draft("ada", "photo-z", scratch, "photoz", ABOUT | {"columns": columns})
        assert refusal.value.fields.keys() == {"columns"}
    with pytest.raises(WrongSidecarError, match="said of a tool"):
        draft("ada", "photo-z", scratch, "photoz", ABOUT | {"requirement": "x==1"})
    scratch.put("photoz/README.md", b"AKIA")
    with pytest.raises(RefusedError, match="keys or tokens"):
        draft("ada", "photo-z", scratch, "photoz", ABOUT)
    assert shelf.bucket.products == {}


def test_one_person_keeps_so_much_and_no_more(shelf: Shelf, scratch: DiskScratch) -> None:
    size = len(photo_z()) + len(b"# Redshifts")
    tight = Shelf(shelf.engine, limits=Limits(person_bytes=size + 10))
    publish(tight, scratch)
    with pytest.raises(ConflictError, match="Your entries keep"):
        publish(tight, scratch, "another")
    tight.catalogue.act("ada", (), "photo-z", Act.WITHDRAW, "Not needed.")
    publish(tight, scratch, "another")


def test_the_process_with_limits_finds_keys_and_reads_tables(shelf: Shelf, scratch: DiskScratch) -> None:
    """With the real inspector: a process that is nobody, and is handed the files open."""
    real = Shelf(shelf.engine, inspector=Inspector())
    assert (
        real.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT | {"columns": UNITS}).missing
        == {}
    )
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    scratch.put("photoz/README.md", f"token = '{secret}'".encode())
    with pytest.raises(RefusedError, match=r"the file README\.md, line 1") as refusal:
        real.catalogue.products.draft("ada", "photo-z", scratch, "photoz", ABOUT)
    assert secret not in str(refusal.value)
