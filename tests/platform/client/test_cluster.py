"""A cluster of one's own, from a real Dask gateway; the portal is a stand-in."""

from __future__ import annotations

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import socket
import stat
import time
from concurrent.futures import CancelledError

import dask
import httpx
import romanhub
from romanhub.client import running
from romanhub.client.cluster import cluster
from romanhub.client.environment import FILE
from romanhub.client.errors import ClusterEndedError, ClusterRefusedError, OutsidePlatformError
from romanhub.client.gateway import ClosingGateway


@pytest.fixture
def platform(portal, gateway):
    """The surroundings of a server of the platform: a portal and a gateway."""
    portal.show_account(workers=2)
    return gateway


def test_workers_work_and_the_price_is_said_before(platform, portal, capsys) -> None:
    assert romanhub.cluster is cluster
    with romanhub.cluster(workers=2, worker_cores=1) as started, started.get_client() as client:
        client.wait_for_workers(2, timeout=120)
        assert client.submit(sum, [1, 2, 3]).result(timeout=60) == 6
        assert len(client.scheduler_info()["workers"]) == 2
    assert capsys.readouterr().out == (
        "2 workers cost 0.08 credits an hour (0.04 for each). Your balance, 12.50 credits, pays for about 6 days "
        "of that.\nThe cluster has started. `cluster.close()` ends it.\n"
    )
    assert "api/clusters/offer?worker_cores=1" in portal.asked


def test_workers_come_with_the_work(platform, portal, capsys) -> None:
    portal.show_offer(workers=2, running="0.15")
    with cluster(at_most=1) as started, started.get_client() as client:
        assert client.submit(sum, [1, 2, 3]).result(timeout=120) == 6
    said = capsys.readouterr().out
    assert "A worker costs 0.04 credits an hour while it runs." in said
    assert "pays for about 2 days beside what runs already." in said


def test_without_a_number_the_tier_decides(platform, capsys) -> None:
    with cluster():
        assert "while it runs, 2 together 0.08." in capsys.readouterr().out


def test_more_than_the_tier_allows_is_cut_and_said(platform, portal, capsys) -> None:
    portal.show_offer(workers=2, room=1)
    with cluster(workers=9):
        said = capsys.readouterr().out
    assert "Your tier, Explorer, allows 2 workers at once, so the cluster gets 2 instead of 9." in said
    assert "1 worker of 2 would fit now; others follow as there is room." in said


def test_scaling_beyond_the_limit_is_clipped_and_said(platform, portal, capsys) -> None:
    with cluster(workers=1) as started:
        capsys.readouterr()
        started.scale(100)
        said = "The limit of ada is 2 workers at once, so the cluster gets 2 instead of 100.\n"
        assert capsys.readouterr().out == said
        started.adapt(minimum=4, maximum=50)
        assert "gets 2 instead of 50." in capsys.readouterr().out
        portal.show_cluster(limit=2, most=1)
        started.scale(2)
        assert capsys.readouterr().out == "Of 2 workers, 1 fit now; others follow when there is room for them.\n"


def test_a_cluster_shows_its_cost_and_time_left(platform, portal) -> None:
    with cluster(workers=1) as started:
        portal.show_cluster(workers=1, price="0.04", cost="0.03", seconds_left=7500)
        started._seen_at = 0
        lines = (
            "1 worker now for 0.04 credits an hour; 0.03 credits so far. "
            "At this rate, what ada has lasts about 2 hours."
        )
        assert lines in repr(started)
        assert lines in started._repr_html_()
        widget = started._widget()
        assert lines in widget.children[1].value
        portal.show_cluster(workers=2, price="0.08", cost="0.04", warnings=["It will be stopped in <10> minutes."])
        started._seen_at = 0
        started.state()
        assert "2 workers now for 0.08" in widget.children[1].value
        assert "stopped in &lt;10&gt; minutes" in widget.children[1].value


def test_a_warning_is_printed_once_and_then_the_reason_of_the_end(platform, portal, monkeypatch, capsys) -> None:
    monkeypatch.setattr(running, "PERIOD", 0.1)
    with cluster(workers=1) as started:
        client = started.get_client()
        pending = client.submit(time.sleep, 600)
        client.wait_for_workers(1, timeout=120)
        portal.show_cluster(warnings=["It will be stopped in 10 minutes. Its credits end then."])
        deadline = time.monotonic() + 60
        while not started._said and time.monotonic() < deadline:
            time.sleep(0.05)
        portal.show_cluster(ended_at="2026-11-22T16:30:00Z", reason="The credits that paid for it are used up.")
        started.gateway.stop_cluster(started.name)
        why = "This Dask cluster has ended. The credits that paid for it are used up."
        with pytest.raises(CancelledError, match=why):
            pending.result(timeout=60)
        for call in (lambda: client.submit(sum, [1]), lambda: started.scale(1), started.get_client):
            with pytest.raises(ClusterEndedError) as caught:
                call()
            assert str(caught.value) == why
        assert "used up." in repr(started)
    said = capsys.readouterr().out
    assert said.count("Dask cluster: It will be stopped in 10 minutes. Its credits end then.\n") == 1
    assert said.count(why) == 1


def test_a_lost_scheduler_of_a_cluster_that_goes_on_is_no_end(platform, portal, monkeypatch) -> None:
    monkeypatch.setattr(running, "PATIENCE", 0.5)
    with cluster(workers=1) as started:
        started.gateway.stop_cluster(started.name)
        with pytest.raises(ClusterRefusedError, match="is not running"):
            started.scale(1)


def test_another_environment_is_refused_before_a_cluster_starts(platform, portal, monkeypatch, tmp_path) -> None:
    platform.environment.write_text("roman-new")
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("ROMANHUB_ENVIRONMENT", "roman-old")
    with pytest.raises(ClusterRefusedError, match=r"does not run in the platform's own .* Use the kernel Roman\."):
        cluster(workers=1)
    (tmp_path / FILE).write_text("roman-new")
    with pytest.raises(ClusterRefusedError, match=r"^Your server runs another environment\.$"):
        cluster(workers=1)
    # A client that knows nothing of it is refused by the gateway too.
    with ClosingGateway() as gateway, pytest.raises(ValueError, match="another environment"):
        gateway.submit()
    monkeypatch.setenv("ROMANHUB_ENVIRONMENT", "roman-new")
    with cluster(workers=1):
        pass


def test_the_dashboard_is_on_a_socket_and_on_no_port(platform, portal) -> None:
    with cluster(workers=1) as started, started.get_client() as client:
        client.wait_for_workers(1, timeout=120)
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        for kind, info in (("scheduler", client.scheduler_info()), *_workers(client)):
            port = info["services"]["dashboard"]
            with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
                pytest.fail(f"the {kind}'s web server is on a port")
        path = platform.dashboard(started.name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as web:
            assert "Individual Task Stream" in web.get("/individual-plots.json").json()
            assert "Dask" in web.get("/status").text


def _workers(client):
    return [("worker", info) for info in client.scheduler_info()["workers"].values()]


def test_a_refusal_is_passed_on_in_the_gateways_words(platform, capsys) -> None:
    platform.refusal.write_text("Your balance is used up, so no Dask cluster can start. Ask for more")
    with pytest.raises(ClusterRefusedError) as caught:
        cluster(workers=1)
    assert str(caught.value) == "Your balance is used up, so no Dask cluster can start. Ask for more."
    assert caught.value.__suppress_context__
    assert "has started" not in capsys.readouterr().out


def test_an_option_that_is_not_offered_is_refused_with_those_that_are(platform) -> None:
    with pytest.raises(ClusterRefusedError, match=r"no option `gpus`\. The options are: worker_cores\."):
        cluster(workers=1, gpus=4)
    with pytest.raises(ClusterRefusedError, match="worker_cores must be <= 1"):
        cluster(workers=1, worker_cores=64)


def test_without_the_portal_a_cluster_starts_and_says_what_is_not_known(platform, portal, capsys) -> None:
    for path in ("api/clusters/offer", "api/clusters/"):
        del portal.anything[path]
    with cluster(workers=1):
        assert "What the cluster costs could not be read from the portal." in capsys.readouterr().out


def test_a_gateway_that_is_down_is_said_to_be_down(portal, monkeypatch) -> None:
    portal.show_account()
    monkeypatch.setenv("DASK_GATEWAY__ADDRESS", "http://127.0.0.1:9")
    with (
        dask.config.set({"gateway.address": "http://127.0.0.1:9", "gateway.auth.type": "basic"}),
        pytest.raises(ClusterRefusedError, match="The Dask gateway does not answer") as caught,
    ):
        cluster(workers=1)
    assert "127.0.0.1" not in str(caught.value)


def test_outside_the_platform_it_says_where_to_run(monkeypatch) -> None:
    monkeypatch.delenv("DASK_GATEWAY__ADDRESS", raising=False)
    with pytest.raises(OutsidePlatformError, match="Start a server on the platform"):
        cluster(workers=1)


@pytest.mark.parametrize("numbers", [{"workers": 0}, {"at_most": -1}, {"workers": 1.5}, {"workers": True}])
def test_a_number_of_workers_is_one_or_more(numbers) -> None:
    with pytest.raises(ValueError, match="takes a whole number of one or more"):
        cluster(**numbers)


def test_two_numbers_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="not both"):
        cluster(workers=1, at_most=2)
