"""A ledger with a clock that the test turns, two people, their project, and clusters that run nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from hubquota.models.clusters import CLUSTER_LABEL, WORKER_LABEL, cluster_key, worker_key
from hubquota.models.kinds import CLUSTER, SERVER, WORKER
from hubquota.models.ledger import Lease
from hubquota.models.money import to_units
from hubquota.models.stops import Stop
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile, load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.orders import Orders, orders_for
from romanhub.dask.stops import Stops

from tests.quota.support import HERE, Clock

#: What a worker of the tier Explorer costs, in units a second.
RATE = 40_000
_OLD = "clusters: 1, workers: 4, worker_cores: 1, worker_memory_gib: 4"


class World:
    """Everything that the policy reads. Workers and clusters are leases without anything that runs."""

    def __init__(self, folder: Path, dask: str | None = None) -> None:
        self.clock = Clock()
        self.engine = make_engine(f"sqlite:///{folder / 'ledger.sqlite'}")
        migrate(self.engine)
        self.ledger = Ledger(self.engine, self.clock)
        self.tiers_path = folder / "tiers.yaml"
        self.tiers_path.write_text((HERE / "hub_tiers.yaml").read_text().replace(_OLD, dask or _OLD, 1))
        self.clusters: dict[str, ClusterFacts] = {}
        self.ledger.open_account("ada", "explorer", to_units(81), actor="test")
        self.ledger.open_project("survey", "explorer", pi="eve", actor="admin")
        self.ledger.set_member("survey", "ada", "member", actor="eve")
        self.ledger.grant("survey", to_units(1), actor="admin", reason="A survey.", key="1")

    @property
    def tiers(self) -> Tiers:
        return load_tiers(self.tiers_path)

    @property
    def tiers_file(self) -> TiersFile:
        return TiersFile(str(self.tiers_path))

    @property
    def now(self) -> datetime:
        return self.clock.now

    @property
    def sizes(self) -> dict[str, WorkerSize]:
        return {name: cluster.size for name, cluster in self.clusters.items()}

    def cluster(
        self, name: str, account: str, owner: str, *, cores: int = 1, memory: int = 4, begin: bool = True
    ) -> ClusterFacts:
        """Let a cluster run, whatever the policy says."""
        facts = ClusterFacts(name, owner, account, WorkerSize(cores, memory))
        self.clusters[name] = facts
        lease = self.ledger.admit(
            account, person=owner, kind=CLUSTER, key=cluster_key(name), label=CLUSTER_LABEL, rate=0
        )
        if begin:
            self.ledger.begin(lease.id)
        return facts

    def work(self, name: str, number: int = 0) -> Lease:
        """Let a worker of a cluster run, whatever the policy says."""
        facts = self.clusters[name]
        lease = self.ledger.admit(
            facts.account,
            person=facts.owner,
            kind=WORKER,
            key=worker_key(name, str(number)),
            label=WORKER_LABEL,
            rate=RATE,
        )
        self.clusters[name] = ClusterFacts(
            name, facts.owner, facts.account, facts.size, (*facts.workers, lease.key)
        )
        return self.ledger.begin(lease.id)

    def serve(self, person: str) -> Lease:
        """Let a server of somebody's run."""
        lease = self.ledger.admit(person, kind=SERVER, key=f"server:{person}/", label="A server", rate=0)
        return self.ledger.begin(lease.id)

    def stops(self, active: datetime | None = None) -> dict[str, list[Stop]]:
        """What is to come, if there was work in every cluster at a time; at its begin if not given."""
        look = Stops(self.ledger, self.tiers, self.now)
        return look.all(list(self.clusters.values()), lambda _name, began: active or began)

    def orders(self, active: datetime | None = None) -> Orders:
        """What has to stop, if there was work in every cluster at a time; now if not given."""
        stops = self.stops(active or self.now)
        return orders_for(self.ledger, self.tiers, list(self.clusters.values()), stops, self.now)


@contextmanager
def world_in(folder: Path, dask: str | None = None) -> Iterator[World]:
    """A world of a test's own.

    Args:
        folder: where its files are.
        dask: what the tier Explorer says of clusters and workers, where it is not one cluster of four.
    """
    world = World(folder, dask)
    yield world
    world.engine.dispose()
