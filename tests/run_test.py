"""What `make test` runs once the environments are there: the checks, then the tests in two lanes.

Many tests have real servers, browsers and clocks, on a machine that others may share. What failed is run once more
when nothing else runs; the summary names what passed only then, for it is a test or a product to mend.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Tests that run in the notebook's environment; all others run in the hub's.
NOTEBOOK = ("tests/platform/client", "tests/platform/sample")

#: Tests that need a Kubernetes: `make test-cluster` runs them, and `make test` where the variable is set.
CLUSTER, WITH_CLUSTER = "tests/cluster", "ROMANHUB_TEST_CLUSTER"

#: The parts of the hub's side: the platform but for the community takes as long as all other tests. They wait for
#: servers most of the time, so that two lanes on two cores take little more than half as long as one.
PLATFORM, COMMUNITY = "tests/platform", "tests/platform/community"


#: What only has to be there in the end makes room for what is waited for.
NICE = ["nice", "-n", "15"]

#: More failures than this are no chance, and are not tried again. One server that did not start may fail a module.
FEW = 20

#: What pytest exits with where all ran, and some failed.
SOME_FAILED = 1


@dataclass(frozen=True)
class Step:
    """A command that has to pass."""

    name: str
    command: list[str]
    #: Where pytest keeps which tests failed; None for what is no test of pytest's.
    kept: Path | None = None

    def failed(self) -> list[str]:
        """The tests that failed when it ran last."""
        found = self.kept / "v" / "cache" / "lastfailed" if self.kept else None
        return sorted(json.loads(found.read_text())) if found and found.exists() else []


@dataclass(frozen=True)
class Result:
    """How a step ended."""

    step: Step
    code: int
    seconds: float
    #: The tests that passed at the second try only.
    unsteady: tuple[str, ...] = ()


def main() -> int:
    """Run everything, and say at the end what failed; the exit code is 1 where anything did."""
    with tempfile.TemporaryDirectory() as folder:
        return _run_all(Path(folder))


def _run_all(kept: Path) -> int:
    bin_folder = Path(sys.executable).parent
    notebook = os.environ["ROMANHUB_TEST_NOTEBOOK_PYTHON"]
    # What the tests import and run has to be this checkout and its environments, whatever the shell has.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "JUPYTER"))}
    environment["PYTHONPATH"] = f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}"
    environment["ROMANHUB_TEST_HUB_BIN"] = str(Path(os.environ["ROMANHUB_ENVIRONMENTS"]) / "hub" / "bin")

    def tests(name: str, python: str, *arguments: str) -> Step:
        """Tests of which pytest keeps what failed in a folder of their own, since two lanes run at once."""
        own = kept / name.replace(" ", "-")
        pytest = [python, "-m", "pytest", "-m", "not full_image", "-o", f"cache_dir={own}"]
        return Step(name, [*pytest, *arguments], own)

    with_cluster = bool(os.environ.get(WITH_CLUSTER))
    cluster = [sys.executable, str(ROOT / "tests" / "run_cluster.py")]

    def ignoring(*folders: str) -> list[str]:
        return [f"--ignore={folder}" for folder in folders]

    checks = [
        Step("ruff check", [str(bin_folder / "ruff"), "check", "."]),
        Step("ruff format", [str(bin_folder / "ruff"), "format", "--check", "."]),
        Step("mypy", [str(bin_folder / "mypy")]),
        Step("import rules", [str(bin_folder / "lint-imports")]),
    ]
    shown = tests("tests of the platform", sys.executable, PLATFORM, *ignoring(*NOTEBOOK, COMMUNITY))
    beside = [
        tests("tests of the notebook's side", notebook, *NOTEBOOK),
        tests("tests of the community", sys.executable, COMMUNITY),
        tests("tests of the quotas and the rest", sys.executable, "tests", *ignoring(PLATFORM, CLUSTER)),
    ]
    building = Lane(
        [Step("a Kubernetes, built", [*NICE, *cluster, "--build"])] if with_cluster else [], environment
    )
    results = [run_step(step, environment) for step in checks]
    other = Lane(beside, environment)
    results.append(run_step(shown, environment))
    results += [*other.results(), *building.results()]
    results = [once_more(result, environment) for result in results]
    if with_cluster and results[-1].code == 0:
        results.append(run_step(Step("tests that need a Kubernetes", cluster), environment))
    print("\n== summary")
    for result in results:
        word = "passed" if result.code == 0 else "FAILED"
        print(f"  {word:<8} {result.step.name:<40} {result.seconds:7.1f} s")
        for name in result.unsteady:
            print(f"           failed at first, and passed alone: {name}")
    passed = sum(result.code == 0 for result in results)
    print(f"{passed} passed, {len(results) - passed} failed", flush=True)
    return int(passed < len(results))


def once_more(result: Result, environment: dict[str, str]) -> Result:
    """Run the few tests that failed once more, by themselves."""
    failed = result.step.failed()
    if result.code != SOME_FAILED or not 0 < len(failed) <= FEW:
        return result
    repeated = replace(result.step, command=[*result.step.command, "--last-failed"])
    second = run_step(replace(repeated, name=f"{result.step.name}: what failed, again"), environment)
    unsteady = tuple(name for name in failed if name not in result.step.failed())
    return Result(result.step, second.code, result.seconds + second.seconds, unsteady)


class Lane:
    """Steps that run one after the other beside the rest; what they print is shown when each is over."""

    def __init__(self, steps: list[Step], environment: dict[str, str]) -> None:
        self._results: list[Result] = []
        self._thread = threading.Thread(
            target=lambda: self._results.extend(run_step(step, environment, later=True) for step in steps)
        )
        self._thread.start()

    def results(self) -> list[Result]:
        """How they ended, once they have."""
        self._thread.join()
        return self._results


def run_step(step: Step, environment: dict[str, str], *, later: bool = False) -> Result:
    """Run a step; what it prints is shown at once, or, beside another lane, when it is over."""
    started = time.monotonic()
    if not later:
        print(f"\n== {step.name}", flush=True)
        code = subprocess.run(step.command, cwd=ROOT, env=environment).returncode
        return Result(step, code, time.monotonic() - started)
    with tempfile.TemporaryFile("w+") as output:
        code = subprocess.run(
            step.command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        ).returncode
        output.seek(0)
        print(f"\n== {step.name}\n{output.read()}", flush=True)
    return Result(step, code, time.monotonic() - started)


if __name__ == "__main__":
    raise SystemExit(main())
