"""The test of the analysis image, run inside it by `images/build.py`."""

from __future__ import annotations

import importlib
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from checks import ImageChecks


class RomanImage(ImageChecks):
    """What a user's server and a Dask worker need of it."""

    image = "roman"
    environment = Path("/opt/roman")

    def test_what_a_notebook_imports_is_there(self) -> None:
        for name in (
            "asdf", "asdf_astropy", "astropy", "gwcs", "roman_datamodels", "rad", "photutils", "numpy", "scipy",
            "matplotlib.pyplot", "lz4", "dask.array", "distributed", "dask_gateway", "dask_labextension", "bokeh",
            "s3fs", "obstore", "pyarrow", "lsdb", "hats", "mocpy", "pyvo", "ipywidgets", "romanhub",
        ):  # fmt: skip
            with self.subTest(name):
                importlib.import_module(name)

    def test_a_notebook_runs_in_the_roman_kernel(self) -> None:
        import nbclient
        import nbformat

        cell = "import astropy.units as u\nfrom romanhub import archive\nprint((1 * u.deg).to(u.arcsec).value)"
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        with tempfile.TemporaryDirectory() as folder:
            client = nbclient.NotebookClient(
                notebook, kernel_name="roman", timeout=300, resources={"metadata": {"path": folder}}
            )
            client.execute()
        self.assertEqual(notebook.cells[0].outputs[0].text.strip(), "3600.0")

    def test_it_says_that_it_is_the_platforms_own(self) -> None:
        from romanhub.client.environment import identity

        self.assertEqual(identity({"ROMANHUB_ENVIRONMENT": "an image"}), "an image")

    def test_the_commands_that_the_platform_starts_are_there(self) -> None:
        for command in ("jupyterhub-singleuser", "jupyter-lab", "dask", "romanhub"):
            self.assertTrue((self.environment / "bin" / command).is_file(), command)

    def test_the_platforms_own_command_runs_and_labs_extension_is_there(self) -> None:
        asked = subprocess.run(["romanhub", "publish", "--help"], capture_output=True, text=True, check=True)
        self.assertIn("catalogue as a draft", asked.stdout)
        folder = self.environment / "share/jupyter/labextensions/romanhub-community"
        load = json.loads((folder / "package.json").read_text())["jupyterlab"]["_build"]["load"]
        self.assertTrue((folder / load).is_file())


if __name__ == "__main__":
    unittest.main()
