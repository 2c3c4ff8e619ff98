"""The commands that show clusters and burn-downs, and that limit and stop clusters."""

from __future__ import annotations

import json

import pytest
from hubquota.models.clusters import CLUSTER_LABEL, WORKER_LABEL, cluster_key, worker_key
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.money import rate_of, to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine

from tests.quota.support import run_command as run


@pytest.fixture
def ledger(database: str) -> Ledger:
    """Return a ledger in which ada has a cluster of one worker that runs and one that starts."""
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(50), actor="first start")
    ledger.begin(ledger.admit("ada", kind=CLUSTER, key=cluster_key("sky"), label=CLUSTER_LABEL, rate=0).id)
    for which in ("a", "b"):
        worker = ledger.admit(
            "ada", kind=WORKER, key=worker_key("sky", which), label=WORKER_LABEL, rate=rate_of("0.3")
        )
        if which == "a":
            ledger.begin(worker.id)
    return ledger


def test_clusters_are_listed_limited_and_stopped(database: str, ledger: Ledger) -> None:
    (line,) = run(database, "cluster", "list").output.splitlines()[1:]
    assert line.split()[:3] == ["sky", "ada", "ada"] and line.split()[5:8] == ["1", "1", "0.30"]
    (one,) = json.loads(run(database, "cluster", "list", "--account", "ada", "--json").output)["items"]
    assert (one["name"], one["workers"], one["starting"], one["price"]) == ("sky", 1, 1, "0.30")
    assert run(database, "cluster", "list", "--person", "bob").output == "  nothing\n"
    told = run(database, "cluster", "limit", "sky", "1", "--reason", "A busy day.").output
    assert told.endswith("limited this cluster to 1 worker at once: A busy day.\n")
    assert told.strip() in run(database, "cluster", "show", "sky").output
    run(database, "cluster", "stop", "sky", "--reason", "Maintenance.")
    said = ledger.instruction("sky")
    assert said is not None and (said.most, said.reason) == (None, "Maintenance.")
    for lease in ledger.open_leases():
        ledger.close(lease.id, reason="Stopped.")
    assert "stopped this cluster: Maintenance." in run(database, "cluster", "past", "ada").output
    page = json.loads(run(database, "cluster", "past", "ada", "--limit", "1", "--json").output)
    assert [one["name"] for one in page["items"]] == ["sky"]
    assert run(database, "cluster", "past", "ada", "--before", str(page["next"])).output == "  nothing\n"


@pytest.mark.parametrize("act", [("stop", "sea"), ("limit", "sea", "1"), ("show", "sea")])
def test_a_cluster_that_does_not_run_is_told(database: str, ledger: Ledger, act: tuple[str, ...]) -> None:
    why = () if act[0] == "show" else ("--reason", "x")
    result = run(database, "cluster", *act, *why)
    assert (result.exit_code, result.output) == (1, "Error: No cluster 'sea' runs.\n")


def test_a_burn_down_is_drawn(database: str, ledger: Ledger) -> None:
    drawn = run(database, "account", "burn-down", "ada").output
    first, *_, end = drawn.splitlines()
    assert first.endswith(f"50.00  {'█' * 40}") and "now: 0.30 credits an hour" in drawn and "░" in drawn
    found = json.loads(run(database, "account", "burn-down", "ada", "--json").output)
    assert end == f"The credits end on {found['exhausts_at'].replace('T', ' ')[:19]} UTC if what runs now goes on."
    assert found["past"][0]["balance"] == "50" and found["price"] == "0.30"
    assert float(found["future"][0]["total"]) == pytest.approx(50, abs=0.1)
    assert run(database, "account", "burn-down", "who").output == "Error: There is no account 'who'.\n"
    for lease in ledger.open_leases():
        ledger.close(lease.id, reason="x")
    assert "do not end while what runs now goes on" in run(database, "account", "burn-down", "ada").output
