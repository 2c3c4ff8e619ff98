"""Lab's extension as it is delivered: built from the source beside it, and from nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "platform" / "labextension"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_lock_has_checksums_and_names_no_registry() -> None:
    packages = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    assert len(packages) > 100
    assert all("resolved" not in one for one in packages.values())
    assert all("integrity" in one for path, one in packages.items() if path)


@pytest.mark.timeout(900)
def test_what_is_delivered_is_what_the_source_builds(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("labextension_build", SOURCE / "build.py")
    assert spec
    assert spec.loader
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    built, delivered = content(builder.build(tmp_path)), content(builder.TARGET)
    assert sorted(built) == sorted(delivered), "run platform/labextension/build.py"
    assert built == delivered, "run platform/labextension/build.py"
