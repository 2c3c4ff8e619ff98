"""What has to stop, by a ledger whose clock the test turns."""

from __future__ import annotations

from datetime import timedelta

from hubquota.models.overrides import Overridden
from romanhub.dask.orders import Order
from romanhub.dask.stops import LEAD

from tests.platform.dask_clusters.world import World


def test_a_cluster_stops_before_the_credits_of_its_account_end_and_no_other_does(world: World) -> None:
    for person in ("ada", "eve"):
        world.ledger.open_account(person, "explorer", 0, actor="test")
        world.serve(person)
    for name, account, owner in (("one", "survey", "ada"), ("own", "ada", "ada")):
        world.cluster(name, account, owner)
        world.work(name)
    found = world.orders()
    end = world.ledger.exhausts_at("survey")
    assert end is not None
    assert (found.clusters, found.named) == ({}, frozenset())
    assert end - LEAD in {stop.at for stop in world.stops()["one"]}
    world.clock.now = end - LEAD
    found = world.orders()
    why = "The credits that paid for it are used up."
    assert found.clusters == {"one": Order("one", 0, why, final=True, kind="budget")}


def test_a_member_whose_cap_is_used_up_stops_and_the_others_go_on(world: World) -> None:
    for person in ("ada", "eve"):
        world.ledger.open_account(person, "explorer", 0, actor="test")
        world.serve(person)
    world.cluster("one", "survey", "ada")
    mine = world.work("one")
    world.cluster("two", "survey", "eve")
    theirs = world.work("two")
    limits = Overridden(clusters=2)
    world.ledger.give_override("survey", limits, world.now + timedelta(days=1), actor="admin", reason="x", key="1")
    world.ledger.set_cap("survey", "ada", credits=mine.rate * 900, actor="eve", reason="x")
    assert world.now + timedelta(seconds=900) - LEAD in {stop.at for stop in world.stops()["one"]}
    world.clock.turn(880)
    world.ledger.seen([mine.key, theirs.key])
    why = "ada's cap on the project survey is used up."
    assert world.orders().clusters == {"one": Order("one", 0, why, final=True, kind="budget")}


def test_the_newest_workers_stop_where_a_limit_was_lowered(world: World) -> None:
    world.serve("ada")
    for name in ("one", "two"):
        world.cluster(name, "survey", "ada")
    for name, number in (("one", 0), ("two", 0), ("one", 1), ("two", 1)):
        world.work(name, number)
    until = world.now + timedelta(hours=1)
    two = Overridden(clusters=2)
    world.ledger.give_override("survey", two, until + timedelta(hours=1), actor="admin", reason="x", key="0")
    assert world.orders().clusters == {}
    three = Overridden(workers=3)
    world.ledger.give_override("survey", three, until, actor="admin", reason="x", key="1")
    why = "The limit of survey is 3 workers at once now."
    assert world.orders().clusters == {"two": Order("two", 1, why, final=False)}
    world.ledger.set_cap("survey", "ada", workers=0, actor="eve", reason="x")
    assert {name: order.allowed for name, order in world.orders().clusters.items()} == {"one": 0, "two": 0}
    world.clock.now = until
    world.ledger.set_cap("survey", "ada", actor="eve", reason="x")
    world.ledger.seen(key for cluster in world.clusters.values() for key in cluster.workers)
    assert world.orders().clusters == {}


def test_the_newest_cluster_ends_where_fewer_are_allowed_now(world: World) -> None:
    for name in ("one", "two"):
        world.cluster(name, "ada", "ada")
        world.work(name)
    why = "The limit of ada is 1 Dask cluster at once now."
    assert world.orders().clusters == {"two": Order("two", 0, why, final=True, kind="admin")}


def test_cores_and_memory_together_are_limits_too(wide: World) -> None:
    wide.cluster("one", "ada", "ada", cores=2, memory=4)
    wide.cluster("two", "ada", "ada", cores=4, memory=16)
    for name, number in (("one", 0), ("two", 0), ("one", 1), ("one", 2)):
        wide.work(name, number)
    why = "The limit of ada is 8 cores in all workers together now."
    assert wide.orders().clusters == {"one": Order("one", 2, why, final=False)}
    wide.tiers_path.write_text(wide.tiers_path.read_text().replace("memory_gib: 40", "memory_gib: 20"))
    why = "The limit of ada is 20 GB of memory in all workers together now."
    assert wide.orders().clusters["one"] == Order("one", 1, why, final=False)


def test_an_administrators_word_on_one_cluster(world: World) -> None:
    world.cluster("one", "ada", "ada")
    for number in range(3):
        world.work("one", number)
    world.ledger.limit_cluster("one", 2, actor="admin", reason="Too much.")
    why = "admin limited this cluster to 2 workers at once: Too much."
    assert world.orders().clusters == {"one": Order("one", 2, why, final=False)}
    world.ledger.stop_cluster("one", actor="admin", reason="Maintenance.")
    why = "admin stopped this cluster: Maintenance."
    assert world.orders().clusters == {"one": Order("one", 0, why, final=True, kind="admin")}


def test_a_suspended_account_stops_with_the_reason_of_the_suspension(world: World) -> None:
    world.cluster("one", "survey", "ada")
    world.work("one")
    world.cluster("empty", "survey", "ada")
    (allocation,) = world.ledger.allocations("survey")
    world.ledger.suspend(allocation.id, actor="admin", reason="Misuse.", key="s")
    found = world.orders().clusters
    assert set(found) == {"one", "empty"}
    assert found["one"].reason.startswith("The account survey is suspended")
    assert found["one"].reason.endswith("is suspended since 2026-11-22: Misuse.")
    assert (found["one"].final, found["one"].kind) == (True, "admin")


def test_what_somebody_announced_stops(world: World) -> None:
    world.cluster("one", "ada", "ada")
    lease = world.work("one")
    world.ledger.announce_stop(lease.id, "Maintenance.")
    assert world.orders().named == {lease.key}
    world.clusters.clear()
    assert world.orders().named == frozenset()
