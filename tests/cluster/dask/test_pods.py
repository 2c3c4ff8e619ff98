"""Real schedulers and workers in real pods: a computation runs, and what is charged is the pods' own times."""

from __future__ import annotations

import json
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images
from tests.cluster.conftest import Cluster
from tests.cluster.dask.world import OWNER, PATIENCE, WORKERS, Dask, began
from tests.cluster.names import resolved
from tests.quota.support import eventually
from tests.support.platform import shared_environments

SETTINGS: dict[str, Any] = {
    "image": images.analysis(),
    "image_pull_policy": images.PULL,
    # A scheduler and two workers fit on a machine of two cores.
    "scheduler": {"cores": 0.05, "memory_gib": 1},
    "workers": {"share": 0.51},
}


@pytest.fixture
def dask(cluster: Cluster, tmp_path: Path) -> Iterator[Dask]:
    """The gateway on the real cluster, whose names resolve for pods and for the gateway."""
    with cluster.plane.tidied(), cluster.plane.api() as api, resolved(api, cluster.plane, tmp_path):
        found = Dask(cluster.plane, tmp_path, SETTINGS)
        try:
            found.prepare()
            found.start()
            yield found
        except BaseException:
            print(found.logs())
            raise
        finally:
            found.forget()
            found.close()


def test_a_notebooks_cluster_computes_in_its_owners_pods_and_is_charged_while_they_run(
    cluster: Cluster, dask: Dask
) -> None:
    with a_notebook(dask) as (name, answer):
        (scheduler,) = dask.pods("dask-scheduler")
        assert answer(scheduler["status"]["podIP"]) == sum(number * number for number in range(100))
        for pod in [scheduler, *dask.running(2)]:
            assert pod["metadata"]["annotations"]["hub.jupyter.org/username"] == OWNER
            assert pod["metadata"]["labels"]["hub.jupyter.org/username"].startswith("ada-site-org---")

        # Each in its turn ends one of the two, and another takes its place.
        for end, kind, reason in ENDS:
            if end is starve and cluster.own_node is None:
                warnings.warn("no worker runs out of memory: that needs a node to itself", stacklevel=1)
                continue
            pod, _ = dask.running(2)
            changes = cluster.changes(pod)
            end(cluster, pod["metadata"]["name"])
            lease = dask.ended(pod)
            assert (lease.end_kind, lease.reason) == (kind, f"The worker has ended: {reason}")
            assert (lease.started_at, lease.ended_at) == lived(changes.last())

        follow = [(pod, cluster.changes(pod)) for pod in dask.running(2)]
        assert dask.client.delete(f"clusters/{name}").is_success
        for pod, changes in follow:
            lease = dask.ended(pod)
            assert lease.reason == "The worker has ended."
            assert (lease.started_at, lease.ended_at) == lived(changes.last())
        eventually(lambda: not dask.ledger.clusters(), "the end of the cluster", within=PATIENCE)
        dask.charged_as_it_ran()


@contextmanager
def a_notebook(dask: Dask) -> Iterator[tuple[str, Callable[[str], int]]]:
    """A notebook with a cluster. Yields its name, and what computes on it where its scheduler is."""
    url = str(dask.client.base_url).removesuffix("/api/v1/")
    told = {"url": url, "user": OWNER, "environment": images.analysis()}
    python = Path(shared_environments()) / "roman-core" / "bin" / "python"
    with subprocess.Popen(
        [str(python), str(Path(__file__).with_name("notebook.py")), json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as notebook:
        assert notebook.stdin is not None and notebook.stdout is not None
        said, heard = notebook.stdin, notebook.stdout

        def answer(address: str) -> int:
            print(address, file=said, flush=True)
            return int(heard.readline())

        try:
            name = heard.readline().strip()
            assert name.startswith(f"{WORKERS}.")
            yield name, answer
        finally:
            notebook.kill()


def starve(cluster: Cluster, pod: str) -> None:
    """Take more memory in a worker's pod than it has."""
    cluster.node.exhaust(pod, gib=2)


def delete(cluster: Cluster, pod: str) -> None:
    """Delete a worker's pod, as somebody with `kubectl` may."""
    cluster.api.delete(f"/api/v1/namespaces/{WORKERS}/pods/{pod}").raise_for_status()


def evict(cluster: Cluster, pod: str) -> None:
    """Empty the worker's machine of its pod, as `kubectl drain` does."""
    cluster.evict(WORKERS, pod)


#: What ends a worker, with what its lease says of that.
ENDS = (
    (starve, "out-of-memory", "It needed more memory than it has, 1 GB."),
    (delete, "removed", "Its pod was deleted."),
    (evict, "evicted", "The machine that it ran on was cleared for maintenance."),
)


def lived(pod: dict[str, Any]) -> tuple[datetime, datetime]:
    """When a pod's container began and ended, as its kubelet says."""
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"]
    return began(pod), datetime.fromisoformat(ended)
