"""The test of the hub's image, run inside it by `images/build.py`."""

from __future__ import annotations

import importlib
import subprocess
import tempfile
import unittest
from importlib.metadata import entry_points
from pathlib import Path

from checks import ImageChecks


class HubImage(ImageChecks):
    """What the hub and the gateway need of it."""

    image = "hub"
    environment = Path("/opt/romanhub")

    def test_what_the_hub_runs_is_there(self) -> None:
        for name in (
            "jupyterhub.app", "kubespawner", "oauthenticator.generic", "dask_gateway_server.app", "psycopg",
            "boto3",
            "dask_gateway_server.backends.kubernetes.controller", "romanhub.dask.charged",
            "romanhub.dask.policy", "romanhub.portal.scopes", "romanhub.chart.hub", "romanhub.chart.prepare",
            # The configuration of the chart jupyterhub.
            "pycurl",
        ):  # fmt: skip
            with self.subTest(name):
                importlib.import_module(name)

    def test_the_hub_finds_our_spawner_by_its_name(self) -> None:
        (found,) = entry_points(group="jupyterhub.spawners", name="quota-kubernetes")
        from kubespawner import KubeSpawner

        self.assertTrue(issubclass(found.load(), KubeSpawner))

    def test_a_ledger_is_made_and_verified(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/ledger.sqlite"
            for command in ("migrate", "verify"):
                done = subprocess.run(["hubquota", command, "--database-url", url], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
