"""What `make bench` runs once the environments are there: the benchmarks of `tests/bench`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run the benchmarks from this checkout, whatever the shell has set; returns their exit code."""
    # A platform's settings in the shell would change what is measured.
    foreign = ("PYTHON", "JUPYTER", "ROMANHUB_", "HUBQUOTA_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environment["ROMANHUB_ENVIRONMENTS"] = os.environ["ROMANHUB_ENVIRONMENTS"]
    environment["PYTHONPATH"] = f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'quota'}"
    command = [sys.executable, "-m", "tests.bench", *sys.argv[1:]]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # It has the Ctrl-C too, and ends what it started before it ends itself.
            continue


if __name__ == "__main__":
    raise SystemExit(main())
