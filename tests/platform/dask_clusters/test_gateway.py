"""A real gateway with real schedulers and workers: what is charged is what their processes ran."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import pytest
from hubquota.models.clusters import ClusterUse
from hubquota.models.kinds import CLUSTER, SERVER, WORKER
from hubquota.models.ledger import Lease
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

from tests.quota.support import HERE, eventually
from tests.support.platform import shared_environments
from tests.support.ports import free_port

PLATFORM = Path(__file__).resolve().parents[3] / "platform"
#: What a worker of the tier Explorer costs, in units a second.
RATE = 40_000
#: How long something may take on a busy machine, in seconds.
PATIENCE = 180.0


class Gateway:
    """A gateway on a ledger of its own, with somebody who has a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tiers.yaml").write_text(
            (HERE / "hub_tiers.yaml")
            .read_text()
            .replace("clusters: 1, workers: 4", "clusters: 10, workers: 12", 1)
        )
        url = f"sqlite:///{folder / 'ledger.sqlite'}"
        migrate(make_engine(url))
        self.ledger = Ledger(make_engine(url))
        self.ledger.open_account("ada", "explorer", to_units(81), actor="test")
        server = self.ledger.admit("ada", kind=SERVER, key="server:ada/", label="A server", rate=0)
        self.ledger.begin(server.id)
        self.port = free_port()
        self.given = {
            "port": self.port,
            "web_port": free_port(),
            "folder": str(folder),
            "tiers": str(folder / "tiers.yaml"),
            "ledger": url,
            "dask": str(Path(shared_environments()) / "roman-core" / "bin" / "dask"),
            "client": str(PLATFORM),
            "stop_clusters": True,
        }
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1/", auth=("ada", ""), timeout=60, trust_env=False
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        config = Path(__file__).with_name("gateway_config.py")
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "dask_gateway_server", "--config", str(config)],
                env={**os.environ, "GATEWAY_TEST": json.dumps(self.given)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return self.client.get("clusters/").status_code == 200
            return False

        eventually(answers, "an answer of the gateway", within=PATIENCE)

    def close(self) -> None:
        """End it, and what it runs."""
        if self.process.is_running():
            self.process.terminate()
            self.process.wait(60)
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        self.client.close()

    def create(self, _number: int = 0) -> httpx.Response:
        """Ask for a cluster."""
        return self.client.post("clusters/", json={"cluster_options": {}})

    def scale(self, name: str, count: int) -> dict[str, object]:
        """Ask for a number of workers, once the cluster takes such wishes."""

        def scaled() -> httpx.Response | None:
            answer = self.client.post(f"clusters/{name}/scale", json={"count": count})
            return answer if answer.status_code == 200 else None

        found: dict[str, object] = eventually(scaled, "a scale that is taken", within=PATIENCE).json()
        return found

    def processes(self, word: str = "") -> list[psutil.Process]:
        """The processes of schedulers and workers, or of one kind."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line, own = process.cmdline(), f"http://127.0.0.1:{self.port}/api"
                if self.given["dask"] in line and word in line[:4]:
                    found += [process] if process.environ().get("DASK_GATEWAY_API_URL") == own else []
        return sorted(found, key=lambda one: one.create_time())

    def running(self, count: int) -> list[Lease]:
        """The leases of workers that run, once they are so many."""

        def so_many() -> list[Lease] | None:
            begun = [one for one in self.ledger.open_leases(WORKER) if one.started_at is not None]
            return begun if len(begun) == count and len(self.processes("worker")) == count else None

        if not count:
            eventually(lambda: not self.ledger.open_leases(WORKER), "the end of all workers", within=PATIENCE)
            return []
        return eventually(so_many, f"{count} workers", within=PATIENCE)

    def use(self) -> ClusterUse:
        """The one cluster that runs."""
        (found,) = self.ledger.clusters()
        return found

    def ended(self, lease: Lease) -> Lease:
        """A lease once it has ended."""

        def found() -> Lease | None:
            now = self.ledger.lease(lease.id)
            return now if now is not None and not now.is_open else None

        return eventually(found, f"the end of {lease.key}", within=PATIENCE)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    running = Gateway(tmp_path)
    running.start()
    try:
        yield running
    except BaseException:
        print((tmp_path / "gateway.log").read_text()[-5000:])
        raise
    finally:
        running.close()


def at(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()


def test_of_ten_clusters_at_once_for_the_last_credit_one_starts_and_is_charged_as_it_ran(gateway: Gateway) -> None:
    ledger = gateway.ledger
    left = RATE * 600 * 2 + RATE * 300
    ledger.correct("ada", left - ledger.balance("ada").available, actor="admin", reason="x", key="c")
    # What is held for the first worker leaves nothing for the first worker of a second cluster.
    ledger.correct("ada", -RATE * 600, actor="admin", reason="x", key="d")
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(gateway.create, range(10)))
    assert sorted(answer.status_code for answer in answers) == [201, *[422] * 9]
    for answer in answers:
        if answer.status_code == 422:
            assert "No Dask cluster can start. The balance of ada is 0.00 credits" in answer.json()["error"]
            assert "No worker of 1 core and 4 GB would fit now." in answer.json()["error"]
    (name,) = [answer.json()["name"] for answer in answers if answer.status_code == 201]
    cluster = gateway.use().lease
    assert cluster.key == f"dask-cluster:{name}"

    # More than there is room for is clipped, and whoever asked is told.
    said = gateway.scale(name, 7)
    assert said["ok"] is False
    assert str(said["msg"]).startswith(
        "1 worker would fit now, so the cluster is scaled to 1 instead of 7. The balance"
    )
    ledger.correct("ada", to_units(50), actor="admin", reason="x", key="e")
    assert gateway.scale(name, 2) == {"ok": True, "msg": None}
    leases, processes = gateway.running(2), gateway.processes("worker")
    for lease, process in zip(sorted(leases, key=lambda one: at(one.started_at)), processes, strict=True):
        assert abs(at(lease.started_at) - process.create_time()) <= 1.5
    (scheduler,) = gateway.processes("scheduler")
    assert abs(at(gateway.use().lease.started_at) - scheduler.create_time()) <= 1.5

    # A worker that is killed is charged to its end, and another takes its place under a lease of its own.
    processes[0].kill()
    killed = time.time()
    gone = gateway.ended(min(leases, key=lambda one: at(one.started_at)))
    assert abs(at(gone.ended_at) - killed) <= 1.5
    assert gone.charged == RATE * (at(gone.ended_at) - at(gone.started_at))
    replaced = gateway.running(2)
    assert {one.id for one in replaced} != {one.id for one in leases}

    # A scheduler that dies takes its workers along, charged until they are gone.
    scheduler.kill()
    killed = time.time()
    last = gateway.ended(cluster)
    assert abs(at(last.ended_at) - killed) <= 1.5
    assert (last.reason, last.end_kind, last.charged) == ("The cluster's scheduler ended.", "ended", 0)
    gateway.running(0)
    statement = ledger.statement("ada", limit=100)
    charged = [one for one in statement.ended if one.kind == WORKER and one.started_at is not None]
    assert len(charged) == 3
    for lease in charged:
        assert lease.charged == RATE * (at(lease.ended_at) - at(lease.started_at))
    assert -sum(entry.amount for entry in statement.entries if entry.kind == "charge") == sum(
        lease.charged for lease in charged
    )
    assert ledger.verify() == []


def test_clusters_outlive_their_gateway_and_an_administrator_stops_one(gateway: Gateway) -> None:
    ledger = gateway.ledger
    name = gateway.create().json()["name"]
    gateway.scale(name, 2)
    leases = gateway.running(2)
    first, second = gateway.processes("worker")
    gateway.process.kill()
    gateway.process.wait(30)
    first.kill()
    gateway.start()
    # What ended while nobody looked is charged to when it was last seen; the other one goes on.
    gone = gateway.ended(min(leases, key=lambda one: at(one.started_at)))
    assert at(gone.ended_at) <= time.time()
    assert second.is_running()
    assert gateway.use().lease.started_at is not None
    gateway.running(2)

    # A lowered limit, then a stop: workers first, the scheduler after them, with the administrator's reason.
    ledger.limit_cluster(name, 1, actor="admin", reason="Too much.")
    gateway.running(1)
    said = gateway.scale(name, 5)
    assert str(said["msg"]).startswith(
        "1 worker would fit now, so the cluster is scaled to 1 instead of 5. "
        "admin limited this cluster to 1 worker at once: Too much."
    )
    ledger.stop_cluster(name, actor="admin", reason="Maintenance.")
    gateway.running(0)
    eventually(lambda: not ledger.clusters(), "the end of the cluster", within=PATIENCE)
    last = ledger.last_end("ada", CLUSTER)
    assert last is not None
    assert (last.reason, last.end_kind) == ("admin stopped this cluster: Maintenance.", "admin")
    ends = [one.ended_at for one in ledger.statement("ada").ended if one.kind == WORKER]
    assert all(at(last.ended_at) >= at(end) for end in ends)
    eventually(lambda: not gateway.processes(), "the end of all processes", within=PATIENCE)
    assert ledger.verify() == []
