"""Write every lock anew: `python images/lock.py` (needs uv). One lock for each environment that runs.

The core lock is compiled under the full lock's constraints, so that it is a subset of it by construction.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Each lock with what it is compiled from and the locks whose versions it must share, in order.
LOCKS: list[tuple[str, str, list[str]]] = [
    ("images/setup.lock", "images/setup.in", []),
    ("images/roman/full.lock", "images/roman/full.in", []),
    ("images/roman/core.lock", "images/roman/core.in", ["images/roman/full.lock"]),
    ("images/hub/requirements.lock", "images/hub/requirements.in", []),
    ("images/hub/image.lock", "images/hub/image.in", ["images/hub/requirements.lock"]),
    ("images/tools.lock", "images/tools.in", ["images/hub/requirements.lock"]),
    ("images/portal/image.lock", "images/portal/image.in", ["images/hub/requirements.lock"]),
    ("tests/requirements.lock", "tests/requirements.in", ["images/hub/requirements.lock"]),
    ("tests/notebook.lock", "tests/notebook.in", ["images/roman/core.lock"]),
    (
        "tests/bench/peers/credit_service.lock",
        "tests/bench/peers/credit_service.in",
        ["images/hub/requirements.lock"],
    ),
    # Not under the hub's lock: it pins an older traitlets than ours.
    ("tests/bench/peers/usage_quotas.lock", "tests/bench/peers/usage_quotas.in", []),
    # Nor this one, which is of another JupyterHub.
    ("tests/hub5.lock", "tests/hub5.in", []),
]


def main() -> None:
    """Compile every lock, for all the platforms and all the Python versions that the project supports."""
    for lock, source, constraints in LOCKS:
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--fork-strategy", "fewest", "--generate-hashes", "--no-emit-index-url"]
        command += ["--override", "images/overrides.txt", "--custom-compile-command", "python images/lock.py"]
        for constraint in constraints:
            command += ["--constraint", constraint]
        subprocess.run([*command, source, "--output-file", lock], cwd=ROOT, check=True)
        print(lock)


if __name__ == "__main__":
    main()
