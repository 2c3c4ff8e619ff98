"""Dask clusters from a notebook: within the tier, as their owner, charged while workers run."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

from tests.support.person import Kernel, Person
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parents[3]

#: A kernel's cell can only await once its own loop is free, so these cells ask again until something is so.
UNTIL = """
import time

def until(condition, patience=120):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(condition)
        time.sleep(0.1)
"""


def until(condition: Callable[[], bool], patience: float = 240) -> None:
    """Ask the ledger's file, which tells nobody when it changes, until something is so."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.05)


@pytest.fixture
async def kernel(platform: Platform) -> AsyncIterator[Kernel]:
    """A Roman kernel in Dana's server."""
    dana = Person(platform.url, "dana")
    dana.sign_in()
    assert dana.start_server(size="small").is_success
    connected = await dana.kernel()
    await connected.run(UNTIL)
    yield connected
    connected.close()
    dana.stop_server()


def leases(platform: Platform) -> list[dict[str, int]]:
    """Dana's workers in the ledger."""
    with sqlite3.connect(f"file:{platform.state / 'private' / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        ledger.row_factory = sqlite3.Row
        rows = ledger.execute(
            "SELECT lease.* FROM lease JOIN account ON account.id = account_id "
            "WHERE account.name = 'dana' AND lease.kind = 'dask-worker' ORDER BY lease.id"
        )
        return [dict(row) for row in rows]


async def test_a_cluster_keeps_to_the_tier_and_every_worker_is_charged(platform: Platform, kernel: Kernel) -> None:
    caps = yaml.safe_load((ROOT / "hub_config" / "tiers.yaml").read_text())["tiers"]["explorer"]["dask"]
    assert not (await kernel.run("import romanhub\ncluster = romanhub.cluster(workers=2)")).error
    started = await kernel.run("client = cluster.get_client()\nclient.wait_for_workers(2, timeout=120)")
    assert not started.error, started.error
    answer = await kernel.run("print(client.submit(lambda: sum(range(1000))).result())")
    assert answer.text.strip().endswith("499500"), answer
    running = [lease for lease in leases(platform) if lease["started_at"] and lease["ended_at"] is None]
    assert len(running) == 2

    # Workers run as their owner, in the notebook's own environment.
    where = await kernel.run(
        "import os, sys\n"
        "print(set(client.run(os.getuid).values()) == {os.getuid()})\n"
        "print(set(client.run(lambda: sys.prefix).values()) == {sys.prefix})"
    )
    assert where.text.split()[-2:] == ["True", "True"], where
    if os.geteuid() == 0:
        assert (await kernel.run("print(os.getuid())")).text.strip() != "0"

    # More than the tier allows is clipped, and another cluster is refused with the limit and what to do.
    await kernel.run(f"cluster.scale({caps['workers'] + 20})")
    await kernel.run(f"until(lambda: len(client.scheduler_info(n_workers=-1)['workers']) >= {caps['workers']})")
    assert len([lease for lease in leases(platform) if lease["ended_at"] is None]) == caps["workers"]
    refused = await kernel.run("romanhub.cluster(workers=1)")
    assert refused.error, refused.text
    assert f"allows {caps['clusters']} Dask cluster" in refused.error

    await kernel.run("cluster.shutdown()")
    until(lambda: all(lease["ended_at"] is not None for lease in leases(platform)))
    # What was admitted and never began cost nothing.
    began = [lease for lease in leases(platform) if lease["started_at"] is not None]
    assert len(began) >= caps["workers"]
    assert not any(lease["charged"] for lease in leases(platform) if lease not in began)
    for lease in began:
        assert lease["charged"] == lease["rate"] * (lease["ended_at"] - lease["started_at"])
        assert lease["ended_at"] >= lease["started_at"]


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root's gateway writes with more rights than the cluster's owner"
)
async def test_the_owner_cannot_send_what_the_gateway_writes_elsewhere(platform: Platform, kernel: Kernel) -> None:
    started = await kernel.run("import glob, os, romanhub\ncluster = romanhub.cluster(workers=1)")
    assert not started.error, started.error
    folder = platform.state / "clusters"
    attempts = await kernel.run(
        f"name = os.path.join({str(folder)!r}, cluster.name)\n"
        "for place in ('logs', '.certs', 'work'):\n"
        "    try:\n"
        "        os.rename(f'{name}/{place}', f'{name}/moved')\n"
        "        print(place, 'could be moved')\n"
        "    except PermissionError:\n"
        "        pass\n"
        "try:\n"
        "    open(f'{name}/logs/new', 'w')\n"
        "    print('logs can be written')\n"
        "except PermissionError:\n"
        "    print('all refused')"
    )
    assert attempts.text.strip() == "all refused", attempts
    await kernel.run("cluster.shutdown()")


async def test_a_worker_larger_than_the_tier_allows_is_refused(platform: Platform, kernel: Kernel) -> None:
    result = await kernel.run("import romanhub\nromanhub.cluster(workers=1, worker_cores=64)")
    assert result.error
    assert "worker_cores" in result.error


async def test_a_cluster_starts_where_its_data_are_or_not_at_all(platform: Platform, kernel: Kernel) -> None:
    unknown = await kernel.run("import romanhub\nromanhub.cluster(workers=1, dataset='nothing')")
    assert "You can read no data set named 'nothing'. There are: " in (unknown.error or "")
    assert "roman-l2" in (unknown.error or "")
    # As a data set in another region would have it.
    refused = await kernel.run("romanhub.cluster(workers=1, region='mars-1')")
    assert "The data is in the region mars-1, and clusters of this platform run in" in (refused.error or "")
    started = await kernel.run("cluster = romanhub.cluster(workers=1, dataset='roman-l2')\ncluster.shutdown()")
    assert not started.error, started.error
    until(lambda: not [lease for lease in leases(platform) if lease["ended_at"] is None])


def open_ledger(platform: Platform) -> Ledger:
    return Ledger(make_engine(f"sqlite:///{platform.state / 'private' / 'ledger.sqlite'}"))


async def test_a_project_pays_and_when_it_cannot_workers_stop_with_a_reason(
    platform: Platform, kernel: Kernel
) -> None:
    ledger = open_ledger(platform)
    ledger.open_project("survey", "explorer", pi="dana", actor="admin")
    ledger.grant("survey", to_units(1), actor="admin", reason="A survey.", key="survey")
    wrong = await kernel.run("import romanhub\nromanhub.cluster(workers=1, account='nobodys')")
    assert "nobodys" in (wrong.error or "")
    started = await kernel.run(
        "cluster = romanhub.cluster(workers=2, account='survey')\nclient = cluster.get_client()\n"
        "client.wait_for_workers(2, timeout=120)"
    )
    assert not started.error, started.error
    assert "The account survey pays for it." in started.text
    assert "Exception ignored" not in started.text
    running = ledger.open_leases("dask-worker")
    assert {(lease.account, lease.person) for lease in running} == {("survey", "dana")}

    # A lower limit retires one of the two; the cluster goes on.
    ledger.set_cap("survey", "dana", workers=1, actor="admin", reason="Others need them.")
    until(lambda: len(ledger.open_leases("dask-worker")) == 1)
    (ended,) = [lease for lease in ledger.statement("survey").ended if lease.kind == "dask-worker"]
    assert ended.reason == "dana's cap on the project survey is 1 worker at once now."
    answer = await kernel.run("print(client.submit(sum, [40, 2]).result())")
    assert answer.text.strip() == "42", answer

    # The credits end: the worker stops, then the cluster, and the next call says why.
    left = ledger.balance("survey").available
    ledger.correct("survey", -left, actor="admin", reason="Spent elsewhere.", key="spent")
    ledger.set_cap("survey", "dana", credits=1, actor="admin", reason="Nothing is left.")
    until(lambda: not ledger.open_leases("dask-worker"))
    reason = "dana's cap on the project survey is used up."
    assert reason in {lease.reason for lease in ledger.statement("survey").ended}
    scaled = await kernel.run("cluster.scale(2)")
    assert reason in (scaled.error or ""), scaled
    refused = await kernel.run("romanhub.cluster(workers=1, account='survey')")
    assert "No Dask cluster can start." in (refused.error or "")
    assert reason in (refused.error or "")
    assert ledger.verify() == []
