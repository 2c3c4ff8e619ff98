"""Two hubs on one PostgreSQL: what one account pays for is admitted once, even where one of them hangs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from hubquota.services.ledger import MINIMUM_SECONDS, Ledger
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

from tests.cluster.conftest import USERS, Cluster, ClusterHub
from tests.cluster.test_user_servers import SMALL
from tests.quota.support import Postgres, eventually

#: What a second of the smallest server costs, in units.
RATE = round(SMALL["price"] * 3_600_000_000 / 3600)


def test_two_hubs_of_which_one_hangs_admit_nothing_twice(
    cluster: Cluster, postgres: Postgres, tmp_path: Path
) -> None:
    postgres.new_database("two_hubs")
    url = postgres.url("two_hubs")
    migrate(make_engine(url))
    ledger = Ledger(make_engine(url))
    hubs = []
    for name in ("east", "west"):
        cluster.add_namespace(f"{USERS}-{name}")
        hubs.append(cluster.new_hub(tmp_path / name, url, name, namespace=f"{USERS}-{name}"))
    people = ("ana", "bea", "cid")
    for person in people:
        # Enough for one start and a half.
        ledger.open_account(person, "explorer", RATE * MINIMUM_SECONDS * 3 // 2, actor="tests")
    try:
        for one in hubs:
            one.begin(cluster.hub_kubeconfig)
        east = hubs[0]
        for one in hubs:
            for person in people:
                one.make_home(person)
                one.api().post(f"users/{person}")
        with ThreadPoolExecutor() as threads:
            for person in people:
                both = [threads.submit(ask, one, person) for one in hubs]
                assert east.process is not None
                # Wherever it is with its start now, it goes no further, while the other decides.
                east.process.suspend()
                try:
                    both[1].result()
                finally:
                    east.process.resume()
                both[0].result()
                granted = RATE * MINIMUM_SECONDS * 3 // 2
                eventually(
                    lambda person=person: settled(hubs, person), f"the ends of {person}'s starts", within=180
                )
                running = [lease for lease in ledger.open_leases("server") if lease.account == person]
                # The credits are enough for one.
                assert len(running) == 1
                (where,) = [one for one in hubs if one.server(person)]
                spent = sum(lease.charged for lease in ledger.statement(person).ended)
                assert running[0].held + spent <= granted
                where.stop(person)
        assert ledger.verify() == []
    finally:
        for one in hubs:
            one.close()


def ask(hub: ClusterHub, person: str) -> int:
    """Ask a hub for a server; returns the status of its answer, which may be a refusal."""
    try:
        return hub.api().post(f"users/{person}/server", json={"size": "small"}, timeout=60).status_code
    except httpx.TimeoutException:
        return 0


def settled(hubs: list[ClusterHub], person: str) -> bool:
    """Whether no start of a person's is under way at any hub."""
    servers = [one.server(person) for one in hubs]
    return all(server is None or server["ready"] for server in servers)
