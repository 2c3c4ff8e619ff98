"""The test of the portal's image, run inside it by `images/build.py`."""

from __future__ import annotations

import importlib
import os
import subprocess
import unittest
from pathlib import Path

from checks import ImageChecks


class PortalImage(ImageChecks):
    """What the portal, the broker, the searches and the probe need of it."""

    image = "portal"
    environment = Path("/opt/romanhub")
    #: Under the GPL, a file of its own.
    others = frozenset({"aladin-lite"})

    def test_what_its_services_run_is_there(self) -> None:
        for name in (
            "romanhub.portal.app",
            "romanhub.broker.app",
            "romanhub.discovery.app",
            "romanhub.probe.command",
            "romanhub.community.worker",
            "romanhub.community.proof.__main__",
        ):
            with self.subTest(name):
                importlib.import_module(name)

    def test_each_command_says_how_it_is_used(self) -> None:
        for module in ("romanhub.portal", "romanhub.broker", "romanhub.discovery", "romanhub.community.proof"):
            done = subprocess.run(["python", "-m", module, "--help"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
        done = subprocess.run(["romanhub", "probe", "--help"], capture_output=True, text=True)
        self.assertIn("--token", done.stdout, done.stderr)

    def test_a_notebook_of_the_community_is_looked_into(self) -> None:
        """By the very process that the portal starts for it, with its search for keys."""
        import nbformat
        from romanhub.community.inspector import Inspector

        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A survey")])
        found = Inspector().inspect(nbformat.writes(notebook).encode(), "A survey")
        self.assertIn("A survey", found.page)

    def test_repositories_can_be_read(self) -> None:
        done = subprocess.run(["/usr/bin/git", "--version"], capture_output=True, text=True)
        self.assertIn("git version", done.stdout, done.stderr)

    def test_the_viewer_of_the_sky_is_there(self) -> None:
        self.assertGreater(Path(os.environ["ROMANHUB_SKY_VIEWER"]).stat().st_size, 100_000)


if __name__ == "__main__":
    unittest.main()
