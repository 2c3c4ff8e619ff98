"""Users' servers as the chart's hub starts them: the pods of runs, with whose home they have.

KubeSpawner makes a pod's manifest without a cluster; what a real one does with it is for `tests/cluster`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from tornado.web import HTTPError
from traitlets.config import Config

from tests.quota.test_spawner import KUBECONFIG

TIERS = Path(__file__).resolve().parents[3] / "hub_config" / "tiers.yaml"


class People:
    """Makes spawners as the hub does, each person's by name."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def spawner(self, person: str, *names: str) -> dict[str, Any]:
        from romanhub.chart.spawner import RomanServerSpawner

        user = SimpleNamespace(
            id=1,
            name=person,
            url=f"/user/{person}/",
            groups=[],
            spawners={},
            orm_user=SimpleNamespace(name=person, groups=[]),
        )
        for name in ("", *names):
            orm = SimpleNamespace(name=name, server=None)
            user.spawners[name] = RomanServerSpawner(
                _mock=True, config=self.config, user=user, user_options={}, orm_spawner=orm
            )
        return dict(user.spawners)


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    """A ledger with two people and the robot, and what the chart jupyterhub says of homes."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    where = "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(where, str(tmp_path / "kubeconfig"))
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate(make_engine(url))
    tiers = load_tiers(TIERS)
    for person, tier in (("ada", "researcher"), ("community-robot", "robot")):
        Ledger(make_engine(url)).open_account(person, tier, tiers.tiers[tier].budget_units, actor="test")
    c = Config()
    c.RomanServerSpawner.fresh_for = "community-robot"
    c.Spawner.quota_tiers_file, c.Spawner.quota_database_url = str(TIERS), url
    c.KubeSpawner.image = "romanhub/roman:1"
    c.KubeSpawner.storage_pvc_ensure = True
    c.KubeSpawner.delete_pvc = True
    c.KubeSpawner.volumes = {
        "volume-{user_server}": {
            "name": "volume-{user_server}",
            "persistentVolumeClaim": {"claimName": "{pvc_name}"},
        },
        "romanhub-aws": {"name": "romanhub-aws", "configMap": {"name": "romanhub-aws"}},
    }
    c.KubeSpawner.volume_mounts = {"home": {"mountPath": "/home/roman", "name": "volume-{user_server}"}}
    return People(c)


async def started(spawner: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The pod of a server that is about to start. Nobody has a home yet: there is no cluster to ask."""

    async def nothing() -> None:
        return None

    monkeypatch.setattr(spawner, "_grow_home", nothing)
    await spawner.run_pre_spawn_hook()
    found: dict[str, Any] = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    return found


def home(pod: dict[str, Any]) -> dict[str, Any]:
    """The volume that is mounted as the home."""
    (container,) = pod["spec"]["containers"]
    (name,) = [one["name"] for one in container["volumeMounts"] if one["mountPath"] == "/home/roman"]
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == name]
    return volume


async def test_a_run_of_ones_own_has_ones_own_home(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = people.spawner("ada", "run-7")
    run = await started(servers["run-7"], monkeypatch)
    own = await started(servers[""], monkeypatch)
    assert home(run)["persistentVolumeClaim"] == home(own)["persistentVolumeClaim"] == {"claimName": "claim-ada"}
    assert run["metadata"]["name"] != own["metadata"]["name"]
    # A volume of most kinds is mounted on one node at a time.
    (term,) = run["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    for pod in (run, own):
        assert term["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


async def test_a_server_goes_to_the_node_of_ones_run(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = people.spawner("ada", "run-7")
    assert "affinity" not in (await started(servers[""], monkeypatch))["spec"], "nothing runs: any node will do"
    monkeypatch.setattr(type(servers["run-7"]), "active", property(lambda self: self.name == "run-7"))
    assert "podAffinity" in (await started(servers[""], monkeypatch))["spec"]["affinity"]
    people.config.KubeSpawner.storage_access_modes = ["ReadWriteMany"]
    many = people.spawner("ada", "run-8")
    assert "affinity" not in (await started(many["run-8"], monkeypatch))["spec"]


async def test_the_end_of_a_run_takes_nobodys_home(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = people.spawner("ada", "run-7")
    removed = []

    async def remove(name: str, _timeout: float) -> bool:
        removed.append(name)
        return True

    for one in servers.values():
        monkeypatch.setattr(one, "_make_delete_pvc_request", remove)
    await started(servers["run-7"], monkeypatch)
    await servers["run-7"].delete_forever()
    assert removed == []
    await servers[""].delete_forever()
    assert removed == ["claim-ada"], "of a person who is deleted it goes"


async def test_what_the_robot_runs_has_a_new_home_each_time(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = people.spawner("community-robot", "run-8")["run-8"]
    pod = await started(run, monkeypatch)
    gib = load_tiers(TIERS).tiers["robot"].storage.home_gib
    assert home(pod)["emptyDir"] == {"sizeLimit": f"{gib}Gi"}
    assert run.storage_pvc_ensure is False, "no volume is made that nobody would remove"
    assert "romanhub-aws" in {one["name"] for one in pod["spec"]["volumes"]}
    assert (await started(run, monkeypatch))["spec"]["volumes"] == pod["spec"]["volumes"]


async def test_a_second_server_is_refused(people: People) -> None:
    with pytest.raises(HTTPError, match=r"You have one server, which has no name\. .*run_later"):
        await people.spawner("ada", "mine")["mine"].run_pre_spawn_hook()


async def test_the_robot_runs_in_the_image_that_is_named_and_nobody_else_does(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = "registry.example.org/roman@sha256:" + "ab" * 32
    server = people.spawner("community-robot", "run-9")["run-9"]
    server.user_options = {"image": named, "size": "small"}
    (container,) = (await started(server, monkeypatch))["spec"]["containers"]
    assert container["image"] == named
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert told["ROMANHUB_ENVIRONMENT"] == "sha256:" + "ab" * 32
    for name in ("", "run-9"):
        own = people.spawner("ada", "run-9")[name]
        own.user_options = {"image": named}
        with pytest.raises(HTTPError, match="image"):
            await started(own, monkeypatch)
