"""`%pip install` in a notebook: into the home, beside an environment that stays as it is."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import numpy

#: The Python of the analysis environment, as a kernel has it; the tests' own sees its packages from beside it.
PYTHON = Path(numpy.__file__).parents[4] / "bin" / "python"


def wheel(folder: Path, name: str, *needs: str) -> Path:
    """A package with one module, which says hello and has a command for it."""
    content = {
        f"{name}.py": "def main():\n    print('hello')\n",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}-1.0.dist-info/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in [*content, f"{name}-1.0.dist-info/RECORD"])
    file = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in [*content.items(), (f"{name}-1.0.dist-info/RECORD", record)]:
            archive.writestr(path, text)
    return file


def cells(home: Path, *lines: str) -> str:
    """Run lines in a new shell with our extension, as the kernel has it; return all that it printed."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.extension_manager.load_extension('romanhub.client.packages')\n"
        f"for line in {lines!r}: shell.run_cell(line)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        [PYTHON, "-c", code],
        env={**environment, "HOME": str(home), "IPYTHONDIR": str(home / ".ipython")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_what_is_installed_is_importable_at_once_and_in_the_next_kernel(tmp_path: Path) -> None:
    file = wheel(tmp_path, "greeter", "numpy>=2")
    environment = {path.name for path in Path(numpy.__file__).parents[1].iterdir()}
    first = cells(tmp_path, f"%pip install --no-index {file}", "import greeter; greeter.main()")
    assert "Successfully installed greeter-1.0" in first
    assert "\nhello\n" in first
    assert cells(tmp_path, "import greeter; greeter.main()", "!greeter").count("hello\n") == 2
    assert {path.name for path in Path(numpy.__file__).parents[1].iterdir()} == environment


def test_what_needs_another_version_of_the_environment_is_refused(tmp_path: Path) -> None:
    file = wheel(tmp_path, "oldtimer", "numpy<2")
    said = cells(tmp_path, f"%pip install --no-index {file}", "import numpy; print('numpy', numpy.__version__)")
    assert "constraint" in said
    assert f"numpy=={numpy.__version__}" in said
    assert f"numpy {numpy.__version__}" in said
    assert "No module named 'oldtimer'" in cells(tmp_path, "import oldtimer")


def test_a_package_of_ones_own_hides_none_of_the_environments(tmp_path: Path) -> None:
    cells(tmp_path, "1")
    (place,) = (tmp_path / ".local/share/romanhub/packages/lib").glob("python3.*/site-packages")
    (place / "numpy.py").write_text("raise ImportError('mine')")
    assert f"numpy {numpy.__version__}" in cells(tmp_path, "import numpy; print('numpy', numpy.__version__)")


def test_a_home_that_cannot_be_written_starts_a_kernel_all_the_same(tmp_path: Path) -> None:
    (tmp_path / ".local").write_text("no folder")
    assert "fine" in cells(tmp_path, "print('fine')")
