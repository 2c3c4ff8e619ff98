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
        ):
            with self.subTest(name):
                importlib.import_module(name)

    def test_each_command_says_how_it_is_used(self) -> None:
        for module in ("romanhub.portal", "romanhub.broker", "romanhub.discovery"):
            done = subprocess.run(["python", "-m", module, "--help"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
        done = subprocess.run(["romanhub", "probe", "--help"], capture_output=True, text=True)
        self.assertIn("--token", done.stdout, done.stderr)

    def test_the_viewer_of_the_sky_is_there(self) -> None:
        self.assertGreater(Path(os.environ["ROMANHUB_SKY_VIEWER"]).stat().st_size, 100_000)


if __name__ == "__main__":
    unittest.main()
