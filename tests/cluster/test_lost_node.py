"""A node that goes away: whoever had a server on it loses neither credits nor files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.cluster.conftest import Cluster, ClusterHub, is_ready
from tests.cluster.test_user_servers import closed_lease, pod_of
from tests.cluster.witness import Witness
from tests.quota.support import eventually


def test_a_node_that_goes_away_takes_no_credits_and_no_files(cluster: Cluster, hub: ClusterHub) -> None:
    hub.ready("ivy", size="small")
    notes = "/user/ivy/api/contents/notes.txt"
    web = hub.api()
    web.base_url = hub.url  # type: ignore[assignment]
    kept = {"type": "file", "format": "text", "content": "what was measured"}
    web.put(notes, json=kept).raise_for_status()

    with cluster.plane.api() as other, Witness(other):
        cluster.node.die()
        died = datetime.now(UTC)
        try:
            silent = eventually(
                lambda: unready_since(cluster, "ivy"), "the cluster's notice of the silence", within=90
            )
            lease = closed_lease(hub, "ivy")
            assert lease.end_kind == "node-lost"
            assert "machine that the server ran on went away" in hub.browser("ivy").get("/hub/home").text
            assert lease.started_at is not None and lease.ended_at is not None
            # The cluster says since when in whole seconds, and the hub looks every two.
            assert lease.ended_at <= silent + timedelta(seconds=3)
            assert lease.ended_at >= died - timedelta(seconds=30)
            assert lease.charged == lease.rate * int((lease.ended_at - lease.started_at).total_seconds())
            assert not hub.ledger.open_leases("server")
            assert hub.ledger.verify() == []
        finally:
            cluster.node.come_back()
    eventually(lambda: is_ready(cluster.api), "the node's return", within=120)

    hub.ready("ivy", size="small")
    assert web.get(notes).raise_for_status().json()["content"] == "what was measured"
    hub.stop("ivy")
    assert hub.ledger.verify() == []


def unready_since(cluster: Cluster, user: str) -> datetime | None:
    """Since when the cluster counts a user's pod as not ready, if it does."""
    for condition in pod_of(cluster, user)["status"]["conditions"]:
        if condition["type"] == "Ready" and condition["status"] != "True":
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None
