"""Making an archive: what it refuses, what it keeps of an interrupted run, how it describes the files."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="making an archive needs the notebook's environment")
pytest.importorskip("roman_datamodels", reason="describing images needs the notebook's environment")

from click.testing import CliRunner
from romanhub.models.archive import INDEX_KEY, ArchiveIndex
from romanhub.sample.__main__ import main
from romanhub.sample.files import sha256, write_whole
from romanhub.sample.make import UNFINISHED, ArchiveInTheWayError, Settings, describe, file_keys, make_archive
from romanhub.sample.plan import sample_plan

SETTINGS = Settings(size=512, seed=42, rounded=True, compression="zlib")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def make(root: Path, settings: Settings = SETTINGS) -> list[str]:
    """Make the archive in this process's time, without simulating anything that is there already."""
    finished: list[str] = []
    make_archive(root, settings, jobs=1, now=lambda: NOW, report=finished.append)
    return finished


def test_the_index_is_what_the_files_themselves_say(archive: Path, index: ArchiveIndex) -> None:
    plan = sample_plan(size=512, seed=42)
    again = describe(plan, archive, SETTINGS, made=index.made)
    assert again.made_by == index.made_by
    assert again.exposures == index.exposures
    assert again.catalogs == index.catalogs


def test_the_index_lists_images_by_level_then_start(index: ArchiveIndex) -> None:
    order = [(record.level, record.start, record.name) for record in index.exposures]
    assert order == sorted(order)


def test_the_plan_names_every_file_of_the_archive(index: ArchiveIndex) -> None:
    listed = {record.key for record in (*index.exposures, *index.catalogs)}
    assert set(file_keys(sample_plan(size=512, seed=42))) == listed


def test_a_finished_archive_is_not_written_over(archive: Path) -> None:
    with pytest.raises(ArchiveInTheWayError, match="holds a finished archive already"):
        make(archive)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ArchiveInTheWayError, match="is not empty"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_archive_begun_with_another_seed_is_not_mixed_with_this_one(tmp_path: Path) -> None:
    other = Settings(size=512, seed=7, rounded=True, compression="zlib")
    (tmp_path / UNFINISHED).write_text(json.dumps({"command": other.command()}))
    with pytest.raises(ArchiveInTheWayError, match=r"--seed 7 .*Run that command to finish it"):
        make(tmp_path)


@pytest.mark.full_image
def test_an_interrupted_run_keeps_what_it_had_finished(archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("romanisim", reason="the mosaic is made with the full analysis image's packages")
    root = tmp_path / "archive"
    shutil.copytree(archive / "level2", root / "level2")
    (root / UNFINISHED).write_text(json.dumps({"command": SETTINGS.command()}))
    before = {path.name: (path.stat().st_mtime_ns, sha256(path)) for path in (root / "level2").iterdir()}
    finished = make(root)
    after = {path.name: (path.stat().st_mtime_ns, sha256(path)) for path in (root / "level2").iterdir()}
    assert after == before
    assert set(finished) == set(file_keys(sample_plan(size=512, seed=42)))
    index = ArchiveIndex.model_validate_json((root / INDEX_KEY).read_bytes())
    assert index.made == NOW
    assert not (root / UNFINISHED).exists()


def test_a_write_that_fails_leaves_no_file_behind(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_bytes(b"the first half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_whole(tmp_path / "level2" / "one.asdf", half)
    assert list((tmp_path / "level2").iterdir()) == []


def test_a_write_keeps_the_files_own_name_while_it_is_written(tmp_path: Path) -> None:
    names: list[str] = []

    def whole(path: Path) -> None:
        names.append(path.name)
        path.write_bytes(b"all of it")

    write_whole(tmp_path / "one.asdf", whole)
    assert names == ["one.asdf"]
    assert (tmp_path / "one.asdf").read_bytes() == b"all of it"


def test_the_command_says_which_packages_it_needs(tmp_path: Path) -> None:
    if find_spec("romanisim") is not None:
        pytest.skip("this Python has the packages")
    result = CliRunner().invoke(main, ["make", "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "romanisim" in result.output
    assert "full analysis image" in result.output
    assert not (tmp_path / "out").exists()


def test_the_command_refuses_a_size_that_no_detector_has(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["make", "--output", str(tmp_path / "out"), "--size", "5000"])
    assert result.exit_code == 2
    assert "4088" in result.output
