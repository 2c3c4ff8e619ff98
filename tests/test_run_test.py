"""What `make test` does with a test that failed: once more, alone, and named in the end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.run_test import Result, Step, once_more, run_step

TESTS = """
from pathlib import Path
import pytest

@pytest.fixture(scope="module")
def server():
    there = Path(__file__).with_name("there")
    if not there.exists():
        there.touch()
        raise OSError("did not start")

def test_of_a_server_that_started_late(server): ...
def test_that_passes(): Path(__file__).with_name("passed").open("a").write("once ")
"""


def run(folder: Path, tests: str) -> tuple[Result, Result]:
    """How the tests ended at first, and after what `make test` does then."""
    (folder / "test_it.py").write_text(tests)
    kept = folder / "kept"
    own = ["-p", "no:asyncio", "-c", str(folder / "none.ini"), f"--rootdir={folder}", "-o", f"cache_dir={kept}"]
    (folder / "none.ini").touch()
    step = Step("some", [sys.executable, "-m", "pytest", *own, str(folder)], kept)
    first = run_step(step, dict(os.environ))
    return first, once_more(first, dict(os.environ))


def test_what_failed_runs_once_more_by_itself_and_is_named(tmp_path: Path) -> None:
    first, then = run(tmp_path, TESTS)
    assert (first.code, then.code) == (1, 0)
    assert then.unsteady == ("test_it.py::test_of_a_server_that_started_late",)
    assert (tmp_path / "passed").read_text() == "once "


@pytest.mark.parametrize("more", ["def test_that_fails(): assert False", "def test_that_fails(: ..."])
def test_what_fails_again_fails_the_run(tmp_path: Path, more: str) -> None:
    _first, then = run(tmp_path, TESTS + more)
    assert then.code != 0
    assert not any("test_that_fails" in name for name in then.unsteady)


def test_many_failures_are_no_chance(tmp_path: Path) -> None:
    first, then = run(tmp_path, f"{TESTS}\n@pytest.mark.parametrize('n', range(20))\ndef test_n(server, n): ...\n")
    assert (then, then.code) == (first, 1)
