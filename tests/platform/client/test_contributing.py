"""Sharing data products and tools from a user's server: what is sent, and what is refused before that."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

from click.testing import CliRunner
from romanhub.client import community, contributing, copybar
from romanhub.client.command import romanhub
from romanhub.client.errors import CommunityRefusedError, PortalUnavailableError
from romanhub.client.sidecars import SidecarError

ENTRIES = "api/v1/community/entries"

PRODUCT = """
kind: product
scratch: work
folder: photoz/
title: Redshifts
columns: {z: dimensionless}
software: eazy-py 0.8.5, numpy 2.3
"""

TOOL = """
kind: tool
name: fitter
requirement: photoz-fit==1.2
entry_point: photoz-fit
"""


def drafted(name: str, kind: str) -> dict[str, Any]:
    version = {"number": 1, "digest": "a" * 64, "sidecar": {"title": "Redshifts"}, "size": 3}
    entry = {"name": name, "kind": kind, "state": "draft", "pending": version}
    return {"entry": entry, "version": version, "missing": {}}


@pytest.fixture
def home(portal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with both sidecars, and keys that open a scratch space."""
    monkeypatch.chdir(tmp_path)
    place = {
        "bucket": "roman-scratch", "prefix": "scratch/ada/work/", "region": "us-east-1",
        "writable": True, "gib": 1, "ends": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }  # fmt: skip
    portal.answer(
        "api/credentials",
        {
            "access_key": "a", "secret_key": "b", "session_token": "c", "endpoint": "http://127.0.0.1:9",
            "expiration": (datetime.now(UTC) + timedelta(hours=1)).isoformat(), "region": "us-east-1",
            "datasets": {}, "scratch": {"work": place},
        },
    )  # fmt: skip
    (tmp_path / "photo-z.community.yaml").write_text(PRODUCT)
    (tmp_path / "tool.community.yaml").write_text(TOOL)
    portal.answer(f"{ENTRIES}/photo-z/product", drafted("photo-z", "product"))
    portal.answer(f"{ENTRIES}/photoz/product", drafted("photoz", "product"))
    portal.answer(f"{ENTRIES}/fitter/tool", drafted("fitter", "tool"))
    return tmp_path


def test_a_sidecar_of_a_product_names_its_files(portal: Any, home: Path) -> None:
    assert community.publish("photo-z.community.yaml", licence="MIT").name == "photo-z"
    assert portal.sent[f"{ENTRIES}/photo-z/product"] == {
        "scratch": "work",
        "folder": "photoz/",
        "sidecar": {
            "title": "Redshifts",
            "licence": "MIT",
            "columns": [{"name": "z", "unit": "dimensionless"}],
            "software": ["eazy-py 0.8.5", "numpy 2.3"],
        },
    }


def test_a_folder_of_scratch_is_a_product(portal: Any, home: Path) -> None:
    path = "s3://roman-scratch/scratch/ada/work/made/photoz"
    done = CliRunner().invoke(romanhub, ["publish", path, "--unit", "z=dimensionless", "--title", "Redshifts"])
    assert done.exit_code == 0, done.output
    sent = portal.sent[f"{ENTRIES}/photoz/product"]
    assert (sent["scratch"], sent["folder"]) == ("work", "made/photoz/")
    assert sent["sidecar"]["columns"] == [{"name": "z", "unit": "dimensionless"}]
    for wrong in ("s3://roman-scratch/scratch/bob/work/x", "s3://elsewhere/scratch/ada/work/x"):
        with pytest.raises(CommunityRefusedError, match="no folder of a scratch space of yours"):
            community.publish(wrong)


def lines(*said: dict[str, Any]) -> bytes:
    """What the portal answers to somebody who follows a copy."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in said)


def far(step: str, done: int) -> dict[str, Any]:
    return {"progress": {"step": step, "done": done, "of": 20}}


@pytest.fixture
def followed(portal: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Any]:
    """Publish the product while the portal tells how far it is, and a terminal shows it."""
    monkeypatch.setattr(copybar, "_in_kernel", lambda: True)

    def publish(answer: bytes) -> Any:
        portal.answer(f"{ENTRIES}/photo-z/product", answer, kind="application/x-ndjson")
        return community.publish("photo-z.community.yaml")

    return publish


def test_a_copy_shows_how_far_it_is(followed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    draft = followed(lines(far("fetching", 4), far("keeping", 20), {"result": drafted("photo-z", "product")}))
    assert draft.name == "photo-z"
    shown = capsys.readouterr().err
    assert "Fetching:  20%" in shown
    assert "Keeping: 100%" in shown


def test_a_copy_that_is_refused_says_why(followed: Any) -> None:
    why = {"title": "That cannot be done now", "status": 409, "detail": "There is no room left."}
    with pytest.raises(CommunityRefusedError, match=r"There is no room left\."):
        followed(lines(far("fetching", 4), {"problem": why}))
    with pytest.raises(PortalUnavailableError, match="does not answer in time"):
        followed(lines({"problem": why | {"status": 503, "detail": "The scratch does not answer in time."}}))


def test_a_copy_that_breaks_off_can_be_sent_again(followed: Any) -> None:
    with pytest.raises(PortalUnavailableError, match="send it again: what is there already is not copied twice"):
        followed(lines(far("fetching", 4)))


def wheel(folder: Path) -> str:
    """Write a wheel of photoz-fit 1.2 into a folder; return its checksum."""
    path = folder / "photoz_fit-1.2-py3-none-any.whl"
    about = "photoz_fit-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("photoz_fit.py", "def main(): pass\n")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: photoz-fit\nVersion: 1.2\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return sha256(path.read_bytes()).hexdigest()


def test_pip_finds_a_tool_and_its_checksum_before_it_is_sent(
    portal: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = Path(os.environ.get("ROMANHUB_ENVIRONMENTS", "/nowhere")) / "setup" / "bin" / "python"
    if not python.exists():
        pytest.skip("no environment with pip: run the tests by `make test`, which makes one")
    # The environment of the notebooks has no pip; the one that sets the others up has.
    monkeypatch.setattr(contributing.sys, "executable", str(python))
    monkeypatch.setattr(contributing.importlib.util, "find_spec", lambda _name: True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home))
    with pytest.raises(CommunityRefusedError, match="pip cannot install 'photoz-fit==1.2' here: No matching"):
        community.publish("tool.community.yaml")
    assert f"{ENTRIES}/fitter/tool" not in portal.sent
    digest = wheel(home)
    community.publish("tool.community.yaml")
    assert portal.sent[f"{ENTRIES}/fitter/tool"]["sidecar"] == {
        "requirement": "photoz-fit==1.2",
        "entry_point": "photoz-fit",
        "hashes": [digest],
    }


def test_a_tool_can_be_sent_unchecked(portal: Any, home: Path) -> None:
    done = CliRunner().invoke(romanhub, ["publish", "tool.community.yaml", "--no-check"])
    assert done.exit_code == 0, done.output
    assert "hashes" not in portal.sent[f"{ENTRIES}/fitter/tool"]["sidecar"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title: A notebook's", "does not say `kind: product` or `kind: tool`"),
        ("kind: product\nflavour: strange", "has the field 'flavour'"),
        ("kind: tool\nfolder: photoz/", "a tool has no files in scratch"),
        ("kind: [", "cannot be read"),
    ],
)
def test_a_sidecar_that_says_something_else_is_refused(portal: Any, home: Path, text: str, why: str) -> None:
    (home / "odd.community.yaml").write_text(text)
    with pytest.raises((CommunityRefusedError, SidecarError), match=why):
        community.publish("odd.community.yaml")
