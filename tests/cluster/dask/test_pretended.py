"""The gateway on a real control plane, with pods that a pretended node says to run."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.money import to_units

from tests.cluster.dask.pretended_node import TAINT, PretendedNode
from tests.cluster.dask.world import API, CONFIG, CONTROLLER, OWNER, PATIENCE, RATE, WORKERS, Dask, began
from tests.cluster.planes import Plane, a_plane
from tests.quota.support import eventually
from tests.support.ports import free_port

#: Where all the pods are, whatever other nodes the cluster has.
HERE_ALONE = {"romanhub.test/pretended": "yes"}

SETTINGS: dict[str, Any] = {
    "image": "registry.example/roman:1@sha256:" + "ab" * 32,
    "region": "here",
    "regions": {"there": {"topology.kubernetes.io/region": "there"}},
    "workers": {
        "nodes": {
            "required": HERE_ALONE,
            "preferred": {"romanhub/spot": "yes"},
            "tolerations": [{"key": "romanhub/workers", "effect": "NoSchedule"}, TAINT],
        }
    },
    "scheduler": {"nodes": {"required": HERE_ALONE, "avoided": {"romanhub/spot": "yes"}, "tolerations": [TAINT]}},
}
ENVIRONMENT = {"environment": "sha256:" + "ab" * 32}


@pytest.fixture
def plane() -> Iterator[Plane]:
    """A control plane of a test's own."""
    with a_plane() as found:
        yield found


@pytest.fixture
def node(plane: Plane) -> Iterator[PretendedNode]:
    with plane.api() as api:
        found = PretendedNode(api, HERE_ALONE)
        found.start()
        yield found
        found.stop()


@pytest.fixture
def dask(plane: Plane, node: PretendedNode, tmp_path: Path) -> Iterator[Dask]:
    found = Dask(plane, tmp_path, SETTINGS)
    try:
        found.prepare()
        found.start()
        yield found
    except BaseException:
        print(found.logs())
        raise
    finally:
        found.close()


@pytest.fixture(autouse=True)
def logs_of_what_failed(request: pytest.FixtureRequest, dask: Dask) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(dask.logs())


def test_pods_are_their_owners_and_charged_for_their_own_times_whatever_ends_them(
    dask: Dask, node: PretendedNode
) -> None:
    name = dask.started(**ENVIRONMENT)
    (scheduler,) = dask.pods("dask-scheduler")
    (cluster,) = dask.ledger.clusters()
    assert cluster.lease.started_at == began(scheduler)
    assert dask.want(name, 3).is_success
    pods = dask.running(3)
    for pod in [scheduler, *pods]:
        labels, spec = pod["metadata"]["labels"], pod["spec"]
        assert labels["hub.jupyter.org/username"].startswith("ada-site-org---")
        assert pod["metadata"]["annotations"]["hub.jupyter.org/username"] == OWNER
        assert labels["romanhub/tier"] == "explorer"
        assert labels["gateway.dask.org/cluster"] == name.partition(".")[2]
        assert spec["automountServiceAccountToken"] is False
        assert spec["containers"][0]["image"].endswith(ENVIRONMENT["environment"])
        # That the namespace takes only what keeps to the restricted standard, the control plane sees to.
    (worker, *_), place = pods, scheduler["spec"]["affinity"]["nodeAffinity"]
    assert {"key": "romanhub/workers", "operator": "Exists", "effect": "NoSchedule"} in worker["spec"][
        "tolerations"
    ]
    assert place["requiredDuringSchedulingIgnoredDuringExecution"]
    assert worker["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "4294967296"}
    for pod in pods:
        assert dask.lease(pod).started_at == began(pod)

    # Out of memory, evicted, deleted by somebody: each ends its lease at its own time, with its reason.
    starved, evicted, deleted = (pod["metadata"]["name"] for pod in pods)
    moments = [
        node.finish(starved, WORKERS, code=137, reason="OOMKilled"),
        node.evict(evicted, WORKERS, "The node was low on resource: memory."),
    ]
    dask.api.delete(f"/api/v1/namespaces/{WORKERS}/pods/{deleted}").raise_for_status()
    leases = [dask.ended(pod) for pod in pods]
    assert [lease.end_kind for lease in leases] == ["out-of-memory", "evicted", "removed"]
    assert [lease.reason for lease in leases] == [
        "The worker has ended: It needed more memory than it has, 4 GB.",
        "The worker has ended: Its machine could not keep it: The node was low on resource: memory.",
        "The worker has ended: Its pod was deleted.",
    ]
    for lease, moment in zip(leases, moments, strict=False):
        assert lease.ended_at == datetime.fromisoformat(moment)
    # Others take their places, each admitted anew.
    again = dask.running(3)
    assert not {dask.lease(pod).id for pod in again} & {lease.id for lease in leases}

    # Its owner stops it: the workers' ends are no fault of theirs.
    assert dask.client.delete(f"clusters/{name}").is_success
    dask.running(0)
    eventually(lambda: not dask.ledger.clusters(), "the end of the cluster", within=PATIENCE)
    last = dask.ledger.last_end(OWNER, CLUSTER)
    assert last is not None
    assert (last.reason, last.end_kind) == ("The cluster was stopped.", "stopped")
    assert {dask.lease(pod).reason for pod in again} == {"The worker has ended."}
    dask.charged_as_it_ran()


def test_what_ends_while_the_controller_is_away_is_charged_right_and_nothing_is_made_twice(
    dask: Dask, node: PretendedNode
) -> None:
    name = dask.started(**ENVIRONMENT)
    dask.want(name, 3)
    pods = dask.running(3)
    dask.kill(CONTROLLER)
    moment = node.finish(pods[0]["metadata"]["name"], WORKERS, code=137, reason="OOMKilled")
    dask.api.delete(f"/api/v1/namespaces/{WORKERS}/pods/{pods[1]['metadata']['name']}").raise_for_status()
    # Clusters are admitted in the meantime, and wait.
    other = dask.create(**ENVIRONMENT).json()["name"]
    eventually(lambda: len(dask.pods()) == 2, "the end of a worker", within=PATIENCE)
    dask.start_controller()
    starved, deleted = dask.ended(pods[0]), dask.ended(pods[1])
    assert (starved.end_kind, starved.ended_at) == ("out-of-memory", datetime.fromisoformat(moment))
    # The pod that is gone says nothing any more: it is charged until it was last seen.
    assert deleted.ended_at is not None and deleted.ended_at <= datetime.now(UTC)
    assert deleted.reason == "The worker has ended."
    after = dask.running(3)
    assert pods[2]["metadata"]["name"] in {pod["metadata"]["name"] for pod in after}
    eventually(lambda: len(dask.pods("dask-scheduler")) == 2, "the other cluster", within=PATIENCE)
    assert {use.name for use in dask.ledger.clusters()} == {name, other}

    # A cluster that nobody admitted is not started.
    made = dask.object(name)
    forged = {key: made[key] for key in ("apiVersion", "kind", "spec")}
    dask.post(dask.objects, {**forged, "metadata": {"name": "forged", "labels": made["metadata"]["labels"]}})
    phase = eventually(lambda: dask.object("x.forged").get("status", {}).get("phase"), "a word", within=PATIENCE)
    assert phase == "Failed"
    assert len(dask.pods("dask-scheduler")) == 2


def test_an_administrator_limits_and_stops_a_cluster_and_a_machine_goes_away(
    dask: Dask, node: PretendedNode
) -> None:
    ledger = dask.ledger
    name = dask.started(**ENVIRONMENT)
    # More than there is room for is not written down at all.
    dask.want(name, 50)
    dask.running(6)
    assert dask.object(name)["spec"]["replicas"] == 6
    ledger.limit_cluster(name, 2, actor="admin", reason="Too much.")
    # No scheduler answers here, so its workers are ended for it, the newest first.
    pods = dask.running(2)
    statement = ledger.statement(OWNER, limit=50)
    reasons = [one.reason for one in statement.ended if one.kind == WORKER]
    assert reasons == ["admin limited this cluster to 2 workers at once: Too much."] * 4

    # A machine that falls silent: nobody is charged for what nobody hears of.
    node.silent.set()
    before = datetime.now(UTC)
    leases = [dask.ended(pod) for pod in pods]
    assert [lease.end_kind for lease in leases] == ["node-lost"] * 2
    assert all(lease.ended_at is not None and lease.ended_at >= before - timedelta(seconds=2) for lease in leases)
    eventually(lambda: not ledger.clusters(), "the end of the cluster", within=PATIENCE)
    last = ledger.last_end(OWNER, CLUSTER)
    assert last is not None and last.end_kind == "node-lost"
    node.silent.clear()

    other = dask.started(**ENVIRONMENT)
    dask.want(other, 1)
    dask.running(1)
    ledger.stop_cluster(other, actor="admin", reason="Maintenance.")
    said = dask.client.post(f"clusters/{other}/scale", json={"count": 2})
    assert said.status_code == 409
    assert said.json()["error"].startswith("No more workers can start. admin stopped this cluster: Maintenance.")
    dask.running(0)
    eventually(lambda: not ledger.clusters(), "the end of the cluster", within=PATIENCE)
    last = ledger.last_end(OWNER, CLUSTER)
    assert last is not None
    assert (last.reason, last.end_kind) == ("admin stopped this cluster: Maintenance.", "admin")
    dask.charged_as_it_ran()


def test_of_ten_clusters_at_two_api_servers_for_the_last_credit_one_starts(dask: Dask) -> None:
    ledger, port = dask.ledger, free_port()
    second = {**dask.settings, "api_address": f"127.0.0.1:{port}"}
    dask.run(API, ["-m", "dask_gateway_server", "--config", str(CONFIG)], second, name="gateway-2")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}/api/v1/", auth=(OWNER, ""), timeout=60, trust_env=False
    ) as other:
        eventually(lambda: dask.answers(other), "an answer of the other one", within=PATIENCE)
        ledger.correct(OWNER, RATE * 900 - ledger.balance(OWNER).available, actor="admin", reason="x", key="c")

        def ask(number: int) -> httpx.Response:
            client = (dask.client, other)[number % 2]
            return client.post("clusters/", json={"cluster_options": ENVIRONMENT})

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(ask, range(10)))
        # The other server sees the cluster, too, and so do its limits.
        assert sorted(answer.status_code for answer in answers) == [201, *[422] * 9]
        for answer in answers:
            if answer.status_code == 422:
                assert answer.json()["error"].startswith(
                    "No Dask cluster can start. The balance of ada@site.org is "
                )
        # Another environment, other data, a larger worker: one line each.
        ledger.correct(OWNER, to_units(50), actor="admin", reason="x", key="d")
        for options, line in (
            ({"environment": "sha256:old"}, "Your server does not run the software environment"),
            ({**ENVIRONMENT, "region": "nowhere"}, "The data is in the region nowhere"),
            ({**ENVIRONMENT, "worker_cores": 2}, "worker_cores must be <= 1"),
        ):
            said = other.post("clusters/", json={"cluster_options": options})
            assert said.status_code == 422
            assert line in said.json()["error"]
        # Data in another region that has nodes: the cluster is there.
        there = other.post("clusters/", json={"cluster_options": {**ENVIRONMENT, "region": "there"}}).json()[
            "name"
        ]

        def placed() -> dict[str, Any] | None:
            pods = dask.pods("dask-scheduler")
            return next((one for one in pods if one["metadata"]["name"].endswith(there.partition(".")[2])), None)

        pod = eventually(placed, "the scheduler", within=PATIENCE)
        assert pod["spec"]["nodeSelector"] == {**HERE_ALONE, "topology.kubernetes.io/region": "there"}
        # No node is there, so nothing runs, and nothing but the first worker's first slice is held.
        assert pod["status"]["phase"] == "Pending"
        assert ledger.verify() == []
