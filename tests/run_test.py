"""What `make test` runs once the environments are there: the checks, then the tests of both sides."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Tests that run in the notebook's environment; all others run in the hub's.
NOTEBOOK = ("tests/platform/client", "tests/platform/sample")

#: Tests that need a Kubernetes: `make test-cluster` runs them.
CLUSTER = "tests/cluster"


def main() -> int:
    """Run everything, and say at the end what failed; the exit code is 1 where anything did."""
    bin_folder = Path(sys.executable).parent
    notebook = os.environ["ROMANHUB_TEST_NOTEBOOK_PYTHON"]
    # What the tests import and run has to be this checkout and its environments, whatever the shell has.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "JUPYTER"))}
    environment["PYTHONPATH"] = f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}"
    environment["ROMANHUB_TEST_HUB_BIN"] = str(Path(os.environ["ROMANHUB_ENVIRONMENTS"]) / "hub" / "bin")
    pytest = ["-m", "pytest", "-m", "not full_image"]
    steps = [
        ("ruff check", [str(bin_folder / "ruff"), "check", "."]),
        ("ruff format", [str(bin_folder / "ruff"), "format", "--check", "."]),
        ("mypy", [str(bin_folder / "mypy")]),
        ("import rules", [str(bin_folder / "lint-imports")]),
        ("tests of the notebook's side", [notebook, *pytest, *NOTEBOOK]),
        (
            "tests of the hub's side",
            [sys.executable, *pytest, "tests", *(f"--ignore={folder}" for folder in (*NOTEBOOK, CLUSTER))],
        ),
    ]
    results: list[tuple[str, int, float]] = []
    for name, command in steps:
        print(f"\n== {name}", flush=True)
        started = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, env=environment).returncode
        results.append((name, code, time.monotonic() - started))
    print("\n== summary")
    for name, code, seconds in results:
        print(f"  {'passed' if code == 0 else 'FAILED':<8} {name:<40} {seconds:7.1f} s")
    passed = sum(code == 0 for _, code, _ in results)
    print(f"{passed} passed, {len(results) - passed} failed", flush=True)
    return int(passed < len(results))


if __name__ == "__main__":
    raise SystemExit(main())
