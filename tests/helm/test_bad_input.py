"""A mistake fails the install with one sentence that says where it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from tests.helm.charts import VALUES, render, with_values


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"global": {"romanhub": {"uri": "https://x"}}}, r"/global/romanhub'.*'uri' not allowed"),
        ({"global": {"romanhub": {"url": "hub.example.org"}}}, r"/global/romanhub/url'"),
        ({"global": {"romanhub": {"signIn": "none"}}}, r"/global/romanhub/signIn'.*'institution', 'trial'"),
        ({"portal": {"replica": 3}}, r"/portal'.*'replica' not allowed"),
        ({"portal": {"replicas": "three"}}, r"/portal/replicas'.*want integer"),
        ({"network": {"database": ["db.example.org"]}}, r"/network/database/0'"),
        ({"nodes": {"big": {"purpose": "gpu", "cores": 8, "memoryGib": 32}}}, r"/nodes/big/purpose'"),
        ({"tires": ""}, r"'tires' not allowed"),
        ({"dask": {"workers": {"share": 3}}}, r"/dask/workers/share'"),
        ({"runs": {"every_day": 3}}, r"/runs'.*'every_day' not allowed"),
        ({"runs": {"at_once": 0}}, r"/runs/at_once'"),
        ({"global": {"romanhub": {"community": {"bucket": "Mine!"}}}}, r"/global/romanhub/community/bucket'"),
        ({"dask": {"schedulers": {}}}, r"/dask'.*'schedulers' not allowed"),
    ],
)
def test_a_typo_is_said_with_its_path(chart: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(helm.HelmError) as failed:
        render(chart, with_values(wrong))
    assert re.search(said, str(failed.value)), str(failed.value)


def test_the_address_has_to_be_given(chart: Path) -> None:
    with pytest.raises(helm.HelmError, match=r"/global/romanhub.*missing property 'url'"):
        render(chart, {"tiers": VALUES["tiers"], "datasets": VALUES["datasets"]})


@pytest.mark.parametrize("name", ["tiers", "datasets"])
def test_the_files_have_to_be_given(chart: Path, name: str) -> None:
    with pytest.raises(helm.HelmError, match=f"--set-file {name}=hub_config/{name}.yaml"):
        render(chart, with_values({name: ""}))


def test_a_tiers_file_that_is_none(chart: Path) -> None:
    with pytest.raises(helm.HelmError, match="The tiers file is not YAML"):
        render(chart, with_values({"tiers": "sizes: [a"}))
    with pytest.raises(helm.HelmError, match="The tiers file has no sizes or no tiers"):
        render(chart, with_values({"tiers": "sizes: 3"}))


NODES = {
    "servers": {"purpose": "user", "cores": 31, "memoryGib": 240},
    "workers": {"purpose": "worker", "cores": 15, "memoryGib": 60, "spot": True},
}


def test_a_size_that_no_node_can_hold(chart: Path) -> None:
    with pytest.raises(helm.HelmError) as failed:
        render(chart, with_values({"nodes": NODES}))
    said = "The size huge of the tier team (32 cores, 256 GiB) fits on none of the nodes for users' servers"
    assert said in str(failed.value)


def test_a_worker_that_no_node_can_hold(chart: Path) -> None:
    large = {
        "servers": {**NODES["servers"], "cores": 64, "memoryGib": 512},
        "workers": {**NODES["workers"], "cores": 2},
    }
    with pytest.raises(helm.HelmError, match="A Dask worker of the tier team .* fits on none of the nodes"):
        render(chart, with_values({"nodes": large}))


def test_nodes_that_hold_everything(chart: Path) -> None:
    render(chart, with_values({"nodes": {"all": {"cores": 64, "memoryGib": 512}}}))
