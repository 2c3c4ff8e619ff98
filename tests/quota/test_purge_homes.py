"""Home folders with everything that a purge has to get right about files: owners, links, odd kinds, rights."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hubquota.models.purge import DamagedError, PurgeError, Stage, Thing
from hubquota.purge import tree
from hubquota.purge.archive import Archives, Entry, Written
from hubquota.purge.home import HomeFolders
from hubquota.services.ledger import Ledger
from hubquota.services.purge import Purge
from hubquota.storage.engine import make_engine

from tests.quota.purge_support import ROOT, expire, fill, make_purge, make_settings, plan_and_approve, snapshot
from tests.quota.support import Clock

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make files of other owners")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    fill(tmp_path / "homes" / "ada")
    return tmp_path / "homes" / "ada"


def purge_of(folder: Path, clock: Clock, template: Path) -> Purge:
    engine = make_engine(f"sqlite:///{shutil.copyfile(template, folder / 'ledger.sqlite')}")
    expire(Ledger(engine, clock), clock, "ada")
    return make_purge(engine, clock, make_settings(folder, notice_days=[], quarantine_days=0))


@pytest.fixture
def purge(tmp_path: Path, clock: Clock, sqlite_template: Path, home: Path) -> Purge:
    return purge_of(tmp_path, clock, sqlite_template)


def there_and_back(purge: Purge) -> None:
    number = plan_and_approve(purge)
    steps = purge.advance(dry_run=False)
    assert [str(step.act) for step in steps] == ["archive", "quarantine", "delete"], steps
    (item,) = (item for item in purge.read(number)[1])
    assert purge.restore(item.id, by=ROOT).stage is Stage.RESTORED


@needs_root
def test_owners_rights_and_attributes_come_back(purge: Purge, home: Path) -> None:
    os.chown(home, 1234, 1234)
    os.chown(home / "outside", 1234, 4321, follow_symlinks=False)
    os.chown(home / "pipe", 4321, 1234)
    os.chown(home / "locked", 70_000_000, 1234)
    (home / "notes.txt").chmod(0o4755)
    home.chmod(0o2750)
    with kept_attribute(home / "deep" / "er" / "data.bin"):
        before, top = snapshot(home), home.stat()
        there_and_back(purge)
    assert snapshot(home) == before
    after = home.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (top.st_uid, top.st_gid, top.st_mode)
    assert after.st_mtime_ns == top.st_mtime_ns


@contextmanager
def kept_attribute(path: Path) -> Iterator[None]:
    """Set an attribute, where the file system has any, and see that it is there afterwards."""
    try:
        os.setxattr(path, "user.origin", b"\xff\x00")
    except OSError:
        yield
        return
    yield
    assert os.getxattr(path, "user.origin") == b"\xff\x00"


@needs_root
def test_an_owner_can_do_it_to_their_own_files(clock: Clock, sqlite_template: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="purge-"))
    folder.chmod(0o755)
    os.chown(folder, NOBODY, NOBODY)
    template = sqlite_template.read_bytes()
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        (folder / "template").write_bytes(template)
        fill(folder / "homes" / "ada")
        home = folder / "homes" / "ada"
        (home / "locked").chmod(0o400)
        (home / "deep" / "er").chmod(0o500)
        (home / "empty").chmod(0o000)
        purge = purge_of(folder, clock, folder / "template")
        assert "Permission denied" in purge.plan(by=ROOT).problems[0]
        (home / "empty").chmod(0o500)
        before = snapshot(home)
        there_and_back(purge)
        assert snapshot(home) == before
    finally:
        os.seteuid(0)
        os.setegid(0)
        shutil.rmtree(folder)


def device(home: Path) -> None:
    try:
        os.mknod(home / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("a device cannot be made here")


def depths(home: Path) -> None:
    top = os.open(home, os.O_RDONLY)
    for _ in range(tree.DEEPEST + 2):
        os.mkdir("d", dir_fd=top)
        inner = os.open("d", os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = inner
    os.close(top)


@pytest.mark.parametrize(
    ("put", "why"),
    [
        (device, "it has a character device in it, null"),
        (depths, "it has more than 400 folders inside each other"),
    ],
)
def test_what_an_archive_cannot_keep_is_left_alone(
    purge: Purge, home: Path, put: Callable[[Path], None], why: str
) -> None:
    put(home)
    draft = purge.plan(by=ROOT, dry_run=False)
    if draft.problems:
        assert why in draft.problems[0]
        return
    assert draft.plan is not None
    purge.approve(draft.plan, by=ROOT, digest=purge.read(draft.plan)[0].digest)
    purge.advance(dry_run=False)
    (item,) = purge.read(draft.plan)[1]
    assert item.stage is Stage.LEFT_ALONE
    assert why in (item.reason or "")
    assert home.exists()


def test_a_socket_is_the_one_thing_that_does_not_come_back(
    purge: Purge, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("gate")
    before = snapshot(home)
    del before[b"gate"]
    there_and_back(purge)
    assert snapshot(home) == before


def test_links_are_never_followed(purge: Purge, home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    fill(outside)
    (home / "deep" / "away").symlink_to(outside)
    before, beyond = snapshot(home), snapshot(outside)
    there_and_back(purge)
    assert (snapshot(home), snapshot(outside)) == (before, beyond)


def test_a_home_that_is_a_link_is_told_and_not_followed(purge: Purge, home: Path, tmp_path: Path) -> None:
    home.rename(tmp_path / "elsewhere")
    home.symlink_to(tmp_path / "elsewhere")
    draft = purge.plan(by=ROOT)
    assert draft.found == ()
    assert "Not a directory" in draft.problems[0]


def test_a_change_while_a_home_is_moved_aside_puts_it_back(
    purge: Purge, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a file open writes in the moment between the last look and the move."""
    number = plan_and_approve(purge)
    real = os.rename

    def writes_first(source: str, target: str, **folders: int) -> None:
        if source == "ada":
            (home / "notes.txt").write_text("changed")
        real(source, target, **folders)

    monkeypatch.setattr(os, "rename", writes_first)
    purge.advance(dry_run=False)
    (item,) = purge.read(number)[1]
    assert item.stage is Stage.LEFT_ALONE
    assert item.reason == "ada has changed while it was moved aside"
    assert (home / "notes.txt").read_text() == "changed"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".purge-quarantine", "a\0b"])
def test_a_name_that_leads_elsewhere_is_turned_down(tmp_path: Path, name: str) -> None:
    homes = HomeFolders(tmp_path, folder_of=lambda _: name)
    with pytest.raises(PurgeError, match="cannot be the name"):
        list(homes.find("ada", "user"))
    assert list(homes.find("survey", "project")) == []


def test_a_quarantine_that_others_may_enter_is_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "aside").mkdir(mode=0o755)
    homes = HomeFolders(tmp_path / "homes", tmp_path / "aside")
    thing = Thing("ada", "user", "ada", "x")
    seen = homes.look(thing)
    assert seen is not None
    with pytest.raises(PurgeError, match="is open to others"):
        homes.quarantine(thing, seen.fingerprint)
    assert home.exists()


# Archives ----------------------------------------------------------------------------------------------


def write(archives: Archives, *entries: tuple[Entry, bytes | None]) -> Written:
    with archives.write("x", lambda _: None) as (sink, written):
        for entry, content in entries:
            sink.add(entry, None if content is None else io.BytesIO(content))
    return written[0]


@pytest.mark.parametrize("compress", [True, False])
def test_an_archive_says_when_a_byte_of_it_was_changed(tmp_path: Path, compress: bool) -> None:
    archives = Archives(tmp_path, compress=compress)
    written = write(archives, (Entry(b"a", "file", size=5), b"12345"))
    archives.verify("x", written.digest, written.manifest_digest, lambda _: None)
    for path in (archives.path("x"), archives.manifest_path("x")):
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(DamagedError, match="is not the one that was written"):
            archives.verify("x", written.digest, written.manifest_digest, lambda _: None)
        path.unlink()
        with pytest.raises(DamagedError, match="is not complete"):
            archives.verify("x", written.digest, written.manifest_digest, lambda _: None)
        path.write_bytes(good)
    # What was written with the other setting is read all the same, and removed.
    other = Archives(tmp_path, compress=not compress)
    other.verify("x", written.digest, written.manifest_digest, lambda _: None)
    other.remove("x")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    archives = Archives(tmp_path)
    with pytest.raises(EOFError):
        write(archives, (Entry(b"a", "file", size=9), b"too few"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [b"../out", b"a/../../out", b"/out", b"a//out"])
def test_an_entry_that_points_out_of_its_archive_is_refused(tmp_path: Path, path: bytes) -> None:
    place = tmp_path / "place"
    place.mkdir()
    entries = [(Entry(b"a", "folder", mode=0o700), None), (Entry(path, "file", size=1), io.BytesIO(b"x"))]
    with tree.opened(place) as top, pytest.raises(DamagedError, match="points out of it"):
        tree.unpack(top, iter(entries))
    assert not (tmp_path / "out").exists()
