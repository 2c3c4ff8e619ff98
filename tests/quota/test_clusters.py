"""Clusters in the ledger: what they cost, what administrators say of them, and what a chosen worker costs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hubquota.models.clusters import CLUSTER_LABEL, WORKER_LABEL, cluster_key, cluster_of, worker_key
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.ledger import ImpossibleError, Lease, UnknownLeaseError
from hubquota.models.money import to_units
from hubquota.models.tiers import Dask, Tiers
from hubquota.models.workers import worker_rate
from hubquota.services.describe import dask_together
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFileError, load_tiers

from tests.quota.support import HERE, Clock

RATE = 40_000


@pytest.fixture(autouse=True)
def accounts(ledger: Ledger) -> None:
    for name in ("ada", "eve"):
        ledger.open_account(name, "explorer", to_units(81), actor="test")


def start(ledger: Ledger, name: str, account: str = "ada") -> Lease:
    found = ledger.admit(account, kind=CLUSTER, key=cluster_key(name), label=CLUSTER_LABEL, rate=0)
    return ledger.begin(found.id)


def work(ledger: Ledger, name: str, which: str, *, begin: bool = True) -> Lease:
    found = ledger.admit("ada", kind=WORKER, key=worker_key(name, which), label=WORKER_LABEL, rate=RATE)
    return ledger.begin(found.id) if begin else found


def test_a_cluster_costs_what_its_workers_did_and_do(ledger: Ledger, clock: Clock) -> None:
    start(ledger, "one")
    start(ledger, "two", "eve")
    first = work(ledger, "one", "a")
    clock.turn(100)
    work(ledger, "one", "b")
    ledger.close(first.id, reason="It has ended.")
    work(ledger, "one", "c", begin=False)
    clock.turn(50)
    one, two = ledger.clusters()
    assert (one.name, one.workers, one.starting, one.rate, one.cost) == ("one", 1, 1, RATE, 150 * RATE)
    assert (two.name, two.workers, two.cost, two.instruction) == ("two", 0, 0, None)
    assert [use.name for use in ledger.clusters("eve", person="eve")] == ["two"]
    assert ledger.cluster("one") == one
    assert cluster_of(first.key) == cluster_of(one.lease.key) == "one"
    # The cluster's own lease is free, and ends without a charge.
    ended = ledger.close(one.lease.id, reason="It was stopped.", kind="stopped")
    assert (ended.charged, ledger.verify()) == (0, [])
    with pytest.raises(UnknownLeaseError, match="No cluster 'one' runs"):
        ledger.cluster("one")


def test_administrators_limit_and_stop_clusters_and_the_owner_is_told(ledger: Ledger) -> None:
    lease = start(ledger, "one")
    given = ledger.limit_cluster("one", 3, actor="admin", reason="The archive is slow")
    assert given.text == "admin limited this cluster to 3 workers at once: The archive is slow."
    assert ledger.limit_cluster("one", 1, actor="admin", reason="Slower.").most == 1
    use = ledger.cluster("one")
    assert use.instruction is not None
    assert (use.instruction.most, use.lease.reason) == (1, None)
    stopped = ledger.stop_cluster("one", actor="admin", reason="Maintenance.")
    assert ledger.stop_cluster("one", actor="root", reason="Again.") == stopped
    with pytest.raises(ImpossibleError, match="told to stop already"):
        ledger.limit_cluster("one", 2, actor="admin", reason="x")
    ended = ledger.close(lease.id, reason="Whatever the engine says.")
    assert (ended.reason, ended.end_kind) == ("admin stopped this cluster: Maintenance.", "admin")
    assert [notice.subject for notice in ledger.notices("ada")] == [
        "Your Dask cluster is being stopped",
        "Your Dask cluster may have 1 worker at most",
        "Your Dask cluster may have 3 workers at most",
    ]
    with pytest.raises(UnknownLeaseError):
        ledger.stop_cluster("one", actor="admin", reason="x")
    with pytest.raises(ImpossibleError, match="Say why"):
        ledger.stop_cluster("one", actor="admin", reason=" ")
    with pytest.raises(ValueError, match="below zero"):
        ledger.limit_cluster("one", -1, actor="admin", reason="x")


# What a worker costs -----------------------------------------------------------------------------------


def dask(**changed: object) -> Dask:
    given = {"clusters": 1, "workers": 4, "worker_cores": 4, "worker_memory_gib": 16, "price": "0.15"}
    return Dask.model_validate({**given, "idle_stop_minutes": 30, **changed})


def with_rates(tmp_path: Path) -> Tiers:
    text = (HERE / "hub_tiers.yaml").read_text()
    path = tmp_path / "tiers.yaml"
    path.write_text(f"{text}rates:\n  - {{valid_from: 2026-01-01, core_hour: 0.02, gib_hour: 0.005}}\n")
    return load_tiers(path)


def test_a_smaller_worker_costs_by_the_rate_card_or_its_larger_share(tmp_path: Path) -> None:
    plain, priced, on = load_tiers(HERE / "hub_tiers.yaml"), with_rates(tmp_path), date(2026, 11, 22)
    whole = dask()
    assert worker_rate(plain, whole, 4, 16, on) == whole.rate
    assert worker_rate(plain, whole, 1, 4, on) * 4 == whole.rate
    # All the memory costs as much as the whole, however few cores come with it.
    assert worker_rate(plain, whole, 1, 16, on) == whole.rate
    assert worker_rate(plain, whole, 3, 1, on) == 112_500
    by_card = dask(price=str(Decimal("0.02") * 4 + Decimal("0.005") * 16))
    assert worker_rate(priced, by_card, 1, 2, on) == 30_000
    # A price of its own is shared out, whatever the card says; and before its first day no card counts.
    assert worker_rate(priced, whole, 1, 4, on) * 4 == whole.rate
    assert worker_rate(priced, by_card, 1, 2, date(2025, 1, 1)) * 4 == by_card.rate
    with pytest.raises(ValueError, match="at least"):
        worker_rate(plain, whole, 0, 1, on)


def test_what_all_workers_have_together_follows_unless_the_file_says_it(tmp_path: Path) -> None:
    assert (dask().most_cores, dask().most_memory_gib, dask_together(dask())) == (16, 64, "")
    given = dask(cores=8, memory_gib=40)
    assert (given.most_cores, given.most_memory_gib) == (8, 40)
    assert dask_together(given) == "; 8 cores and 40 GB in all"
    path = tmp_path / "tiers.yaml"
    path.write_text(
        (HERE / "hub_tiers.yaml")
        .read_text()
        .replace("memory_gib: 4, price", "memory_gib: 4, cores: 4, memory_gib: 2, price", 1)
    )
    with pytest.raises(TiersFileError, match=r"explorer\.dask\.memory_gib: 2 is less than worker_memory_gib"):
        load_tiers(path)
