"""A shell with a cluster, to try the operators' page by hand: `make test-cluster ONLY=--shell`.

It is a test for what tests are given: a node with the platform's images, databases, storage and volumes. All of it
ends with the shell. Nothing of the platform is installed.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.cluster.conftest import Cluster
from tests.cluster.install import PORT, surrounded
from tests.quota.support import Postgres


@pytest.mark.timeout(0)
def test_by_hand(cluster: Cluster, postgres: Postgres) -> None:
    with tempfile.TemporaryDirectory(prefix="ri-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with surrounded(cluster, postgres, folder) as around:
            lines = [
                f"KUBECONFIG names the cluster; port {PORT} of {cluster.plane.address} is free for the platform."
            ]
            lines += [f"The database of the {part}: {url}" for part, url in around.databases.items()]
            lines += [f"The storage: {around.storage}"]
            lines += [
                f"{secret}: {' '.join(f'{key}={value}' for key, value in keys.items())}"
                for secret, keys in around.keys.items()
            ]
            print("", *lines, sep="\n", flush=True)
            environment = {**os.environ, "KUBECONFIG": str(cluster.plane.kubeconfig)}
            subprocess.run([os.environ.get("SHELL", "/bin/bash")], env=environment, cwd=Path.cwd())
