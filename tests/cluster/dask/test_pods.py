"""Real schedulers and workers in real pods: a computation runs, and its charges begin with the pods' own times.

How they end is shown with a pretended node so far (`test_pretended.py`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images
from tests.cluster.conftest import Cluster
from tests.cluster.dask.world import OWNER, WORKERS, Dask, began
from tests.cluster.names import Names
from tests.support.platform import shared_environments

SETTINGS: dict[str, Any] = {
    "image": images.ROMAN,
    "image_pull_policy": "Never",
    # A scheduler and two workers fit on a machine of two cores.
    "scheduler": {"cores": 0.05, "memory_gib": 1},
    "workers": {"share": 0.51},
}


@pytest.fixture
def dask(cluster: Cluster, tmp_path: Path) -> Iterator[Dask]:
    """The gateway on the real cluster, whose names resolve for pods and for the gateway."""
    resolve = tmp_path / "resolv.conf"
    resolve.write_text(f"nameserver {cluster.plane.address}\n")
    found = Dask(cluster.plane, tmp_path, SETTINGS)
    with cluster.plane.api() as api:
        names = Names(api, cluster.plane.address)
        # In the mount namespace of these tests alone.
        subprocess.run(["mount", "--bind", str(resolve), "/etc/resolv.conf"], check=True)
        try:
            found.prepare()
            found.start()
            yield found
        except BaseException:
            print(found.logs())
            raise
        finally:
            found.close()
            names.close()
            subprocess.run(["umount", "/etc/resolv.conf"], check=True)


def test_a_notebooks_cluster_computes_in_its_owners_pods_and_is_charged_since_they_run(dask: Dask) -> None:
    url = str(dask.client.base_url).removesuffix("/api/v1/")
    told = {"url": url, "user": OWNER, "environment": images.ROMAN}
    python = Path(shared_environments()) / "roman-core" / "bin" / "python"
    with subprocess.Popen(
        [str(python), str(Path(__file__).with_name("notebook.py")), json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as notebook:
        assert notebook.stdin is not None and notebook.stdout is not None
        try:
            name = notebook.stdout.readline().strip()
            assert name.startswith(f"{WORKERS}."), dask.logs()
            (scheduler,) = dask.pods("dask-scheduler")
            print(scheduler["status"]["podIP"], file=notebook.stdin, flush=True)
            assert int(notebook.stdout.readline()) == sum(number * number for number in range(100)), dask.logs()
            pods = dask.running(2)
            for pod in [scheduler, *pods]:
                assert pod["metadata"]["annotations"]["hub.jupyter.org/username"] == OWNER
                assert pod["metadata"]["labels"]["hub.jupyter.org/username"].startswith("ada-site-org---")
            for pod in pods:
                assert dask.lease(pod).started_at == began(pod)
        finally:
            notebook.kill()
