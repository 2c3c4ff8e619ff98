"""What `import romanhub` brings, and what a kernel is set to."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")


def run(code: str, **environment: str) -> str:
    """Run Python code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_package_alone_imports_no_library_of_either_side() -> None:
    heavy = "{'astropy', 'dask', 'pydantic', 's3fs', 'jupyterhub', 'sqlalchemy', 'numpy'}"
    assert run(f"import sys, romanhub; print({heavy} & set(sys.modules))") == "set()"


def test_the_public_names_are_there() -> None:
    assert "archive of Roman images" in run("from romanhub import archive, balance, cluster; print(archive)")
    assert run("import romanhub; print({*romanhub.__all__} <= {*dir(romanhub)})") == "True"
    with pytest.raises(AssertionError, match="no attribute 'telescope'"):
        run("import romanhub; romanhub.telescope")


TABLES = """
import romanhub.client.offline as offline, sys
offline.{install}
assert 'astropy' not in sys.modules
from astropy.utils import iers
print(iers.conf.auto_download, iers.conf.auto_max_age)
"""


@pytest.mark.parametrize("install", ["load_ipython_extension(None)", "dask_setup(None)"])
def test_earth_orientation_tables_are_not_downloaded(install, tmp_path) -> None:
    assert run(TABLES.format(install=install), ASTROPY_CONFIG_DIR=str(tmp_path)) == "False None"


def test_a_users_own_choice_of_tables_stays(tmp_path) -> None:
    (tmp_path / "astropy.cfg").write_text("[utils.iers.iers]\nauto_max_age = 77.0\n")
    assert run(TABLES.format(install="install()"), ASTROPY_CONFIG_DIR=str(tmp_path)) == "False 77.0"


def test_horizontal_coordinates_work_long_after_the_tables_were_made(tmp_path) -> None:
    code = TABLES.format(install="install()") + (
        "import datetime\n"
        "from astropy.coordinates import AltAz, EarthLocation, SkyCoord\n"
        "from astropy.time import Time\n"
        "when = Time(datetime.datetime.now(datetime.UTC)) + 200\n"
        "place = EarthLocation.from_geodetic(0, 50)\n"
        "print(SkyCoord(1, 2, unit='deg').transform_to(AltAz(obstime=when, location=place)).alt.isscalar)\n"
    )
    assert run(code, ASTROPY_CONFIG_DIR=str(tmp_path)).endswith("True")
