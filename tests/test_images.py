"""The locks: one for each environment, the core within the whole, and no registry's name in any."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from images import build

ROOT = Path(__file__).resolve().parents[1]

LOCKS = [*sorted((ROOT / "images").rglob("*.lock")), *sorted((ROOT / "tests").rglob("*.lock"))]


def pins(lock: Path) -> dict[str, str]:
    """Each package of a lock with its version."""
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", lock.read_text(), flags=re.MULTILINE))


def test_the_core_is_a_subset_of_the_whole_image() -> None:
    core, full = (pins(ROOT / "images" / "roman" / f"{name}.lock") for name in ("core", "full"))
    assert core.items() <= full.items()
    assert len(core) < len(full)


@pytest.mark.parametrize("image", ["hub", "portal"])
def test_an_image_on_kubernetes_has_the_versions_that_run_on_one_machine(image: str) -> None:
    image_pins, whole = pins(ROOT / "images" / image / "image.lock"), pins(ROOT / "images/hub/requirements.lock")
    # What the chart jupyterhub's own configuration imports: nothing on one machine does.
    for name in ("pycurl",) if image == "hub" else ():
        assert image_pins.pop(name) is not None
        assert name not in whole
    assert image_pins.items() <= whole.items()
    assert len(image_pins) < len(whole)


#: Imports modules as if no packages were there but those that it is told of.
IMPORTING = """
import importlib, re, sys
from importlib.metadata import packages_distributions

there = set(sys.stdin.read().split())
named = packages_distributions().items()
absent = {name for name, found in named if not {re.sub("[-_.]+", "-", one).lower() for one in found} & there}
sys.modules.update(dict.fromkeys(absent))
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("hub", ("chart.hub", "chart.prepare", "kubernetes.gateway", "kubernetes.controller")),
        ("portal", ("portal.__main__", "broker.__main__", "discovery.__main__", "probe.command")),
    ],
)
def test_an_image_on_kubernetes_has_what_its_parts_import(image: str, parts: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", IMPORTING, *(f"romanhub.{part}" for part in parts)]
    there = "\n".join(pins(ROOT / "images" / image / "image.lock"))
    done = subprocess.run(command, input=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("image", ["base", "hub", "portal", "roman"])
def test_an_image_is_not_built_from_locks_that_are_too_old(image: str) -> None:
    expires = build.Settings.load(image).expires
    build.check_expiry(image, expires, today=expires - timedelta(days=1))
    with pytest.raises(
        build.BuildError, match=rf"expired on {expires}.*images/lock.py.*images/{image}/image.toml"
    ):
        build.check_expiry(image, expires, today=expires)


def test_the_tests_run_with_the_versions_that_users_run() -> None:
    for tests, users in (
        ("tests/requirements.lock", "images/hub/requirements.lock"),
        ("tests/notebook.lock", "images/roman/core.lock"),
    ):
        tested, used = pins(ROOT / tests), pins(ROOT / users)
        shared = tested.keys() & used.keys()
        assert shared
        assert {name: tested[name] for name in shared} == {name: used[name] for name in shared}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_a_lock_has_hashes_and_names_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert pins(lock)
    assert text.count("--hash=sha256:") >= len(pins(lock))
    assert "://" not in text
    assert "index-url" not in text
