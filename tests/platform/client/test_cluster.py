"""A cluster of one's own, from a real Dask gateway; the portal is a stand-in."""

from __future__ import annotations

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import dask
import romanhub
from romanhub.client.cluster import cluster
from romanhub.client.errors import ClusterRefusedError, OutsidePlatformError


@pytest.fixture
def platform(portal, gateway):
    """The surroundings of a server of the platform: a portal and a gateway."""
    portal.show_account(workers=2)
    return gateway


def test_workers_work_and_the_price_is_said(platform, capsys) -> None:
    assert romanhub.cluster is cluster
    with romanhub.cluster(workers=2, worker_cores=1) as started, started.get_client() as client:
        client.wait_for_workers(2, timeout=120)
        assert client.submit(sum, [1, 2, 3]).result(timeout=60) == 6
        assert len(client.scheduler_info()["workers"]) == 2
    assert capsys.readouterr().out == (
        "A Dask cluster with 2 workers has started. While they run they cost 0.08 credits an hour "
        "(0.04 for each). Your balance is 12.50 credits. `cluster.close()` ends it.\n"
    )


def test_workers_come_with_the_work(platform, capsys) -> None:
    with cluster(at_most=1) as started, started.get_client() as client:
        assert client.submit(sum, [1, 2, 3]).result(timeout=120) == 6
    assert "at most 1 worker has started. Each worker costs 0.04 credits an hour" in capsys.readouterr().out


def test_without_a_number_the_tier_decides(platform, capsys) -> None:
    with cluster():
        assert "at most 2 workers" in capsys.readouterr().out


def test_more_than_the_tier_allows_is_cut_and_said(platform, capsys) -> None:
    with cluster(workers=9):
        said = capsys.readouterr().out
    assert "Your tier, Explorer, allows 2 workers at once, so the cluster gets 2 instead of 9." in said
    assert "with 2 workers has started" in said


def test_a_refusal_is_passed_on_in_the_gateways_words(platform, capsys) -> None:
    platform.refusal.write_text("Your balance is used up, so no Dask cluster can start. Ask for more")
    with pytest.raises(ClusterRefusedError) as caught:
        cluster(workers=1)
    assert str(caught.value) == "Your balance is used up, so no Dask cluster can start. Ask for more."
    assert caught.value.__suppress_context__
    assert capsys.readouterr().out == ""


def test_an_option_that_is_not_offered_is_refused_with_those_that_are(platform) -> None:
    with pytest.raises(ClusterRefusedError, match=r"no option `gpus`\. The options are: worker_cores\."):
        cluster(workers=1, gpus=4)
    with pytest.raises(ClusterRefusedError, match="worker_cores must be <= 1"):
        cluster(workers=1, worker_cores=64)


def test_without_the_portal_a_cluster_starts_and_says_what_is_not_known(platform, portal, capsys) -> None:
    portal.answer("api/tiers", {"detail": "Down."}, 503)
    with cluster(workers=1):
        assert "What it costs could not be read from the portal." in capsys.readouterr().out


def test_a_gateway_that_is_down_is_said_to_be_down(portal, monkeypatch) -> None:
    portal.show_account()
    monkeypatch.setenv("DASK_GATEWAY__ADDRESS", "http://127.0.0.1:9")
    with (
        dask.config.set({"gateway.address": "http://127.0.0.1:9", "gateway.auth.type": "basic"}),
        pytest.raises(ClusterRefusedError, match="does not answer, so no cluster was started") as caught,
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
