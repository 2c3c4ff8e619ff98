"""What a cluster may draw on, what is admitted, and what a refusal says, by a ledger of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hubquota.models.admissions import Admission
from hubquota.models.clusters import worker_key
from hubquota.models.kinds import CLUSTER, SERVER, WORKER
from hubquota.models.ledger import Lease, Refused
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from romanhub.dask.admission import admit_cluster, admit_workers, first_key
from romanhub.dask.facts import ClusterFacts, WorkerSize
from romanhub.dask.options import GIB, Place, cluster_options
from romanhub.dask.payers import ENDED, last_stop, payers_for
from romanhub.dask.room import ceiling_for, room_for

from tests.platform.dask_clusters.world import RATE, World


def facts(name: str, account: str = "ada", owner: str = "ada", cores: int = 1, memory: int = 4) -> ClusterFacts:
    return ClusterFacts(name, owner, account, WorkerSize(cores, memory))


def start(world: World, cluster: ClusterFacts) -> None:
    admit_cluster(world.ledger, world.tiers, cluster, world.sizes, world.now)
    world.clusters[cluster.name] = cluster


def refusal(world: World, cluster: ClusterFacts) -> Refused:
    with pytest.raises(Refused) as refused:
        start(world, cluster)
    assert "\n" not in refused.value.message
    assert refused.value.message.endswith(world.tiers.ask)
    assert refused.value.message.count(world.tiers.ask) == 1
    return refused.value


def more(world: World, cluster: ClusterFacts, wanted: int, taken: tuple[str, ...] = ()) -> list[str]:
    names = iter(f"w{number}" for number in range(len(world.ledger.open_leases(WORKER)), 100))
    found = admit_workers(
        world.ledger, world.tiers, cluster, wanted, world.sizes, world.now, taken=taken, new=lambda: next(names)
    )
    return [lease.key for lease in found]


# Who pays ----------------------------------------------------------------------------------------------


def test_the_account_that_the_server_draws_on_pays_unless_another_one_is_chosen(world: World) -> None:
    ledger, tiers = world.ledger, world.tiers
    payers = payers_for(ledger, tiers, "ada", ())
    assert (list(payers.entitlements), payers.default) == (["ada", "survey"], "ada")
    ledger.admit("survey", person="ada", kind=SERVER, key="server:ada/", label="A server", rate=1)
    assert payers_for(ledger, tiers, "ada", ()).default == "survey"
    # With servers on two accounts there is no telling which one is meant.
    ledger.admit("ada", kind=SERVER, key="server:ada/two", label="A server", rate=1)
    assert payers_for(ledger, tiers, "ada", ()).default == "ada"
    assert payers_for(ledger, tiers, "new", ()).default == "new"


def test_what_may_be_chosen_keeps_to_the_accounts_tier_and_to_the_datas_region(wide: World) -> None:
    payers = payers_for(wide.ledger, wide.tiers, "ada", ())
    options = cluster_options(payers, Place("us-east-1"))
    chosen = options.parse_options({"worker_cores": 2, "worker_memory": 3})
    assert (chosen["account"], chosen["region"]) == ("ada", "us-east-1")
    assert options.get_configuration(chosen, None) == {
        "worker_cores": 2,
        "worker_memory": 3 * GIB,
        "idle_timeout": 0,
    }
    with pytest.raises(ValueError, match="worker_cores"):
        options.parse_options({"worker_cores": 5})
    with pytest.raises(ValueError, match="account"):
        options.parse_options({"account": "eve"})
    elsewhere = options.parse_options({"region": "eu-west-1"})
    with pytest.raises(
        ValueError, match=r"in the region eu-west-1, and clusters of this platform run in us-east-1"
    ):
        options.get_configuration(elsewhere, None)
    for place in (Place("us-east-1", "warn"), Place("")):
        cluster_options(payers, place).get_configuration(elsewhere, None)


# Clusters ----------------------------------------------------------------------------------------------


def test_a_cluster_is_admitted_with_what_its_first_worker_needs(world: World) -> None:
    one = facts("one")
    start(world, one)
    assert [lease.key for lease in world.ledger.open_leases(CLUSTER)] == ["dask-cluster:one"]
    (first,) = world.ledger.open_leases(WORKER)
    assert (first.key, first.held, first.started_at) == (first_key("one"), RATE * 600, None)
    # The first worker uses it; the others are admitted beside it.
    assert more(world, one, 3) == [first_key("one"), worker_key("one", "w1"), worker_key("one", "w2")]
    assert more(world, one, 3, (first_key("one"),)) == [worker_key("one", "w3")]
    assert more(world, one, 3, (first_key("one"),)) == []


def test_what_was_held_long_ago_is_let_go_and_the_worker_admitted_anew(world: World) -> None:
    start(world, facts("one"))
    world.clock.turn(1900)
    assert more(world, facts("one"), 1) == [worker_key("one", "w1")]
    assert len(world.ledger.open_leases(WORKER)) == 1


def test_a_cluster_too_many_is_refused_by_the_ones_that_run(world: World) -> None:
    start(world, facts("one"))
    refused = refusal(world, facts("two"))
    assert refused.limit == "count"
    assert refused.message.startswith(
        "Your tier, Explorer, allows 1 Dask cluster at a time and you have 1 (one). Stop one first."
    )
    # One that is about to end is none that could be stopped first.
    world.ledger.announce_stop(world.ledger.open_leases(CLUSTER)[0].id, "The cluster was stopped.")
    start(world, facts("two"))


def test_a_cluster_that_could_not_run_a_worker_is_refused_with_what_would_fit(wide: World) -> None:
    wide.cluster("one", "ada", "ada", cores=2, memory=4)
    for number in range(3):
        wide.work("one", number)
    refused = refusal(wide, facts("two", cores=4, memory=16))
    assert refused.message == (
        "No Dask cluster can start. The tier of ada, Explorer, allows 8 cores in all workers together, of which "
        "6 are taken. No worker of 4 cores and 16 GB would fit now; 2 workers of 1 core and 4 GB would. "
        f"{wide.tiers.ask}"
    )
    assert [lease.key for lease in wide.ledger.open_leases(CLUSTER)] == ["dask-cluster:one"]
    start(wide, facts("two"))


def test_a_refusal_names_the_balance_and_why_the_last_workers_were_stopped(world: World) -> None:
    world.cluster("old", "survey", "ada")
    lease = world.work("old")
    world.clock.turn(60)
    world.ledger.announce_stop(lease.id, "The credits that paid for it are used up.")
    world.ledger.close(lease.id, reason=ENDED)
    world.ledger.close(world.ledger.open_leases(CLUSTER)[0].id, reason="x")
    world.ledger.correct("survey", -world.ledger.balance("survey").posted, actor="admin", reason="x", key="c")
    assert refusal(world, facts("one", "survey")).message == (
        "No Dask cluster can start. The balance of survey is 0.00 credits, and a worker's first 10 minutes cost "
        "0.01. No worker of 1 core and 4 GB would fit now. Your last workers were stopped on "
        f"2026-11-22 at 12:01 UTC: The credits that paid for it are used up. {world.tiers.ask}"
    )
    assert last_stop(world.ledger, "survey", "eve") == ""


def test_caps_suspensions_and_strangers_are_refused(world: World) -> None:
    world.ledger.set_cap("survey", "ada", credits=1, actor="eve", reason="x")
    refused = refusal(world, facts("one", "survey"))
    assert (refused.limit, "Your cap on survey leaves 0.00 credits" in refused.message) == ("cap", True)
    world.ledger.set_cap("survey", "ada", workers=0, actor="eve", reason="x")
    assert "Your cap on survey is 0 workers at once." in refusal(world, facts("one", "survey")).message
    assert "bob is not a member of the project survey" in refusal(world, facts("one", "survey", "bob")).message
    (allocation,) = world.ledger.allocations("survey")
    world.ledger.suspend(allocation.id, actor="admin", reason="Misuse.", key="s")
    refused = refusal(world, facts("one", "survey", "eve"))
    assert (refused.limit, "Misuse." in refused.message) == ("suspended", True)


def test_of_ten_clusters_for_the_last_credit_one_starts(world: World) -> None:
    world.tiers_path.write_text(world.tiers_path.read_text().replace("clusters: 1", "clusters: 10", 1))
    left = world.ledger.balance("ada").available - RATE * 600
    world.ledger.correct("ada", -left, actor="admin", reason="x", key="c")
    start(world, facts("c0"))
    for number in range(1, 10):
        assert refusal(world, facts(f"c{number}")).limit == "budget"
    assert len(world.ledger.open_leases(CLUSTER)) == len(world.ledger.open_leases(WORKER)) == 1


# Room --------------------------------------------------------------------------------------------------


def test_the_room_that_is_named_is_what_is_admitted(wide: World) -> None:
    wide.ledger.correct(
        "ada", RATE * 600 * 5 - wide.ledger.balance("ada").available, actor="admin", reason="x", key="c"
    )
    one = facts("one", cores=1, memory=4)
    start(wide, one)
    room = room_for(wide.ledger, wide.tiers, one, wide.sizes, wide.now)
    # A quarter of a worker's size costs a quarter: the number of workers is what allows no more.
    assert (room.fits, room.limit, room.taken) == (5, "count", 1)
    assert len(more(wide, one, 50)) == 6
    assert room_for(wide.ledger, wide.tiers, one, wide.sizes, wide.now).fits == 0
    assert ceiling_for(wide.ledger, wide.tiers, one).most == 6
    assert ceiling_for(wide.ledger, wide.tiers, facts("two", cores=4, memory=16)).most == 2
    wide.ledger.limit_cluster("one", 3, actor="admin", reason="Too much.")
    assert (
        ceiling_for(wide.ledger, wide.tiers, one).text
        == "admin limited this cluster to 3 workers at once: Too much."
    )
    assert wide.ledger.balance("ada").available < to_units(1)


class Overtaken(Ledger):
    """A ledger of which another program asks for something just before this one does."""

    before: Callable[[], object] | None = None

    def admit_up_to(self, wanted: Sequence[Admission]) -> tuple[list[Lease], Refused | None]:
        """Admit, after the other one."""
        other, self.before = self.before, None
        if other is not None:
            other()
        return super().admit_up_to(wanted)


@pytest.mark.parametrize("cores", [1, 4])
def test_two_programs_at_once_admit_no_more_cores_than_there_are(wide: World, cores: int) -> None:
    """On Kubernetes one program admits clusters and another one workers, of sizes that may differ."""
    large = wide.cluster("large", "ada", "ada", cores=4, memory=16)
    other = wide.cluster("other", "ada", "ada", cores=cores, memory=4 * cores)

    def another() -> None:
        leases = admit_workers(
            wide.ledger, wide.tiers, large, 2, wide.sizes, wide.now, taken=(), new=iter("ab").__next__
        )
        assert len(leases) == 2

    ledger = Overtaken(wide.engine, wide.clock)
    ledger.before = another
    leases = admit_workers(
        ledger, wide.tiers, other, 6, wide.sizes, wide.now, taken=(), new=iter("cdefgh").__next__
    )
    # Eight cores are all; the other one was first.
    assert leases == []
    assert len(wide.ledger.open_leases(WORKER)) == 2
    assert wide.ledger.verify() == []


def test_a_cluster_whose_place_another_program_takes_at_the_same_moment_is_refused(wide: World) -> None:
    large = wide.cluster("large", "ada", "ada", cores=4, memory=16)

    def another() -> None:
        admit_workers(wide.ledger, wide.tiers, large, 2, wide.sizes, wide.now, taken=(), new=iter("ab").__next__)

    ledger = Overtaken(wide.engine, wide.clock)
    ledger.before = another
    new = ClusterFacts("new", "ada", "ada", WorkerSize(1, 4))
    with pytest.raises(Refused, match="No Dask cluster can start. .* allows 8 cores in all workers together"):
        admit_cluster(ledger, wide.tiers, new, {**wide.sizes, "new": new.size}, wide.now)
    assert [lease.key for lease in wide.ledger.open_leases(CLUSTER)] == ["dask-cluster:large"]
    assert len(wide.ledger.open_leases(WORKER)) == 2
    assert wide.ledger.verify() == []


def test_a_cluster_whose_last_credit_another_program_takes_at_the_same_moment_is_told_the_balance(
    world: World,
) -> None:
    world.tiers_path.write_text(world.tiers_path.read_text().replace("clusters: 1", "clusters: 10", 1))
    left = world.ledger.balance("ada").available - RATE * 900
    world.ledger.correct("ada", -left, actor="admin", reason="x", key="c")
    ledger = Overtaken(world.engine, world.clock)
    ledger.before = lambda: start(world, facts("c0"))
    with pytest.raises(Refused, match="No Dask cluster can start. The balance of ada is"):
        admit_cluster(ledger, world.tiers, facts("c1"), world.sizes, world.now)
    assert len(world.ledger.open_leases(CLUSTER)) == len(world.ledger.open_leases(WORKER)) == 1
