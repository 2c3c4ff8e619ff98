"""What `make test` runs once the environments are there: the checks, then the tests in two lanes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Step:
    """A command that has to pass."""

    name: str
    command: list[str]


@dataclass(frozen=True)
class Result:
    """How a step ended."""

    step: Step
    code: int
    seconds: float


def main() -> int:
    """Run everything, and say at the end what failed; the exit code is 1 where anything did."""
    bin_folder = Path(sys.executable).parent
    notebook = os.environ["ROMANHUB_TEST_NOTEBOOK_PYTHON"]
    # What the tests import and run has to be this checkout and its environments, whatever the shell has.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "JUPYTER"))}
    environment["PYTHONPATH"] = f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}"
    environment["ROMANHUB_TEST_HUB_BIN"] = str(Path(os.environ["ROMANHUB_ENVIRONMENTS"]) / "hub" / "bin")
    pytest = ["-m", "pytest", "-m", "not full_image"]

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
    shown = [Step("tests of the platform", [sys.executable, *pytest, PLATFORM, *ignoring(*NOTEBOOK, COMMUNITY)])]
    beside = [
        Step("tests of the notebook's side", [notebook, *pytest, *NOTEBOOK]),
        Step("tests of the community", [sys.executable, *pytest, COMMUNITY]),
        Step("tests of the quotas and the rest", [sys.executable, *pytest, "tests", *ignoring(PLATFORM, CLUSTER)]),
    ]
    building = _Lane(
        [Step("a Kubernetes, built", [*NICE, *cluster, "--build"])] if with_cluster else [], environment
    )
    results = [_run(step, environment) for step in checks]
    other = _Lane(beside, environment)
    results += [_run(step, environment) for step in shown]
    results += [*other.results(), *building.results()]
    if with_cluster and results[-1].code == 0:
        results.append(_run(Step("tests that need a Kubernetes", cluster), environment))
    print("\n== summary")
    for result in results:
        word = "passed" if result.code == 0 else "FAILED"
        print(f"  {word:<8} {result.step.name:<40} {result.seconds:7.1f} s")
    passed = sum(result.code == 0 for result in results)
    print(f"{passed} passed, {len(results) - passed} failed", flush=True)
    return int(passed < len(results))


class _Lane:
    """Steps that run one after the other beside the rest; what they print is shown when each is over."""

    def __init__(self, steps: list[Step], environment: dict[str, str]) -> None:
        self._results: list[Result] = []
        self._thread = threading.Thread(
            target=lambda: self._results.extend(_run(step, environment, later=True) for step in steps)
        )
        self._thread.start()

    def results(self) -> list[Result]:
        """How they ended, once they have."""
        self._thread.join()
        return self._results


def _run(step: Step, environment: dict[str, str], *, later: bool = False) -> Result:
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
