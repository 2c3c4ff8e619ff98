"""When clusters stop for idleness and credits, and who is told before, by a clock that the test turns."""

from __future__ import annotations

from datetime import timedelta

from romanhub.dask.orders import Order
from romanhub.dask.stops import LEAD, STOP_NOTICE, next_look, warn

from tests.platform.dask_clusters.world import World

IDLE = timedelta(minutes=30)


def warned(world: World) -> list[str]:
    """Who was told what since, newest first."""
    warn(world.ledger, world.tiers, world.stops(), world.ledger.clusters(), world.now)
    return [one.subject for one in world.ledger.notices("ada") if one.kind == STOP_NOTICE]


def test_a_cluster_without_work_is_warned_of_and_stops(world: World) -> None:
    world.serve("ada")
    world.cluster("one", "ada", "ada")
    began = world.now
    assert warned(world) == []
    assert next_look(world.tiers, world.stops(), world.now) == began + IDLE - timedelta(minutes=10)
    world.clock.turn(20 * 60)
    assert warned(world) == ["Your Dask cluster will be stopped in 10 minutes"]
    # Who looks again tells nobody twice.
    world.clock.turn(60)
    assert len(warned(world)) == 1
    (notice,) = [one for one in world.ledger.notices("ada") if one.kind == STOP_NOTICE]
    assert "There was no work in it since 22 November 2026, 12:00 UTC; any task keeps it running." in notice.text
    world.clock.now = began + IDLE
    why = "It was without work for 30 minutes, after which the tier Explorer stops a cluster."
    assert world.orders(began).clusters == {"one": Order("one", 0, why, final=True, kind="idle")}
    # Work moves the stop.
    assert world.orders(began + timedelta(seconds=1)).clusters == {}


def test_a_cluster_whose_owner_has_no_server_stops_though_it_works(world: World) -> None:
    server = world.serve("ada")
    world.cluster("one", "ada", "ada")
    world.clock.turn(3600)
    assert world.orders().clusters == {}
    world.ledger.close(server.id, reason="The server was stopped.")
    left = world.now
    world.clock.now = left + IDLE - timedelta(seconds=1)
    assert world.orders().clusters == {}
    world.clock.turn(1)
    (order,) = world.orders().clusters.values()
    why = "Its owner had no server for 30 minutes, after which the tier Explorer stops a cluster."
    assert (order.reason, order.final, order.kind) == (why, True, "idle")
    world.serve("ada")
    assert world.orders().clusters == {}


def test_the_owner_is_warned_before_the_credits_end(world: World) -> None:
    world.ledger.open_account("eve", "explorer", 0, actor="test")
    world.serve("ada")
    world.cluster("one", "survey", "ada")
    leases = [world.work("one", number) for number in range(4)]
    end = world.ledger.exhausts_at("survey")
    assert end is not None
    for minutes in (60, 10):
        world.clock.now = end - LEAD - timedelta(minutes=minutes)
        world.ledger.seen(lease.key for lease in leases)
        stops = world.stops(world.now)
        warn(world.ledger, world.tiers, stops, world.ledger.clusters(), world.now)
    told = [one for one in world.ledger.notices("ada") if one.kind == STOP_NOTICE]
    assert [one.subject for one in told] == [
        "Your Dask cluster will be stopped in 10 minutes",
        "Your Dask cluster will be stopped in 1 hour",
    ]
    assert "Cluster one, on the account survey, will be stopped on" in told[0].text
    assert "The credits of survey that pay for it end then." in told[0].text
