"""What an operator says of Dask on Kubernetes, and what pods are by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from romanhub.kubernetes.apart import policy_of
from romanhub.kubernetes.settings import DaskSettings, Secrets, SettingsError, image_identity
from romanhub.kubernetes.shape import labels_of, shaped

GIVEN: dict[str, Any] = {
    "instance": "romanhub",
    "namespace": "users",
    "api_url": "http://gateway:8000/api",
    "image": "registry.example/roman@sha256:abc",
    "tiers_file": "/etc/romanhub/tiers.yaml",
}


def load(tmp_path: Path, **more: Any) -> DaskSettings:
    (tmp_path / "dask.yaml").write_text(yaml.safe_dump({**GIVEN, **more}))
    return DaskSettings.load({"ROMANHUB_DASK": str(tmp_path / "dask.yaml")})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"instanse": "x"}, "instanse: Extra inputs are not permitted"),
        ({"workers": {"share": 2}}, "workers.share: Input should be less than or equal to 1"),
        ({"grace_seconds": 600}, "grace_seconds: Input should be less than or equal to 15"),
        ({"uid": 0}, "uid: Input should be greater than or equal to 1"),
        ({"scheduler": {"nodes": {"required": {"a b": "c"}}}}, "scheduler.nodes.required.a b"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        load(tmp_path, **more)
    assert said in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ROMANHUB_DASK is not set"):
        DaskSettings.load({})
    with pytest.raises(SettingsError, match="cannot be read"):
        DaskSettings.load({"ROMANHUB_DASK": str(tmp_path / "none.yaml")})
    with pytest.raises(SettingsError, match="HUBQUOTA_DATABASE_URL is not set"):
        Secrets.from_environment({})


def test_an_environment_is_told_by_its_images_digest(tmp_path: Path) -> None:
    assert load(tmp_path).identity == "sha256:abc"
    assert image_identity("registry.example/roman:1") == "registry.example/roman:1"


def test_a_pod_is_its_owners_and_may_do_next_to_nothing(tmp_path: Path) -> None:
    nodes = {"required": {"pool": "workers"}, "preferred": {"spot": "yes"}, "priority_class": "dask"}
    settings = load(tmp_path, workers={"nodes": nodes}, regions={"there": {"region": "there"}})
    cluster = {
        "metadata": {"labels": labels_of(settings, "ada@x.org", "survey", "explorer")},
        "spec": {"username": "ada@x.org", "options": {"account": "survey", "region": "there"}},
    }
    resources = {"limits": {"cpu": "2.000", "memory": str(8 * 2**30)}, "requests": {}}
    made = {
        "metadata": {"labels": {}, "annotations": {}},
        "spec": {
            "containers": [{"name": "dask-worker", "resources": resources}],
            "volumes": [{"name": "credentials", "secret": {"secretName": "s"}}],
            "restartPolicy": "OnFailure",
        },
    }
    found = shaped(made, cluster, settings, worker=True)
    spec, (container,) = found["spec"], found["spec"]["containers"]
    assert found["metadata"]["labels"]["hub.jupyter.org/username"].startswith("ada-x-org---")
    assert found["metadata"]["labels"]["romanhub/account"] == "survey"
    assert found["metadata"]["annotations"]["hub.jupyter.org/username"] == "ada@x.org"
    assert spec["nodeSelector"] == {"pool": "workers", "region": "there"}
    assert spec["priorityClassName"] == "dask"
    assert "preferredDuringSchedulingIgnoredDuringExecution" in spec["affinity"]["nodeAffinity"]
    # One life of a container is one pod.
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert container["resources"]["requests"] == {"cpu": "1.880", "memory": str(int(8 * 2**30 * 0.94))}
    # What upstream made is as it was.
    assert made["spec"]["restartPolicy"] == "OnFailure"


def test_pods_see_the_folders_that_are_said(tmp_path: Path) -> None:
    settings = load(tmp_path, config_folders={"romanhub-aws": "/etc/romanhub/aws"})
    made = {"metadata": {}, "spec": {"containers": [{"resources": {"limits": {"cpu": "1", "memory": "1024"}}}]}}
    cluster = {"metadata": {}, "spec": {"username": "ada"}}
    for worker in (False, True):
        spec = shaped(made, cluster, settings, worker=worker)["spec"]
        assert spec["volumes"] == [{"name": "romanhub-aws", "configMap": {"name": "romanhub-aws"}}]
        (mount,) = spec["containers"][0]["volumeMounts"]
        assert mount == {"name": "romanhub-aws", "mountPath": "/etc/romanhub/aws", "readOnly": True}


def test_a_clusters_rule_is_of_its_own_pods_and_goes_with_it() -> None:
    cluster = {
        "apiVersion": "gateway.dask.org/v1alpha1",
        "kind": "DaskCluster",
        "metadata": {"name": "abc", "uid": "1"},
    }
    rule = policy_of(cluster, {"gateway.dask.org/instance": "romanhub"})
    chosen = {"podSelector": {"matchLabels": {"gateway.dask.org/cluster": "abc"}}}
    assert rule["spec"]["podSelector"] == chosen["podSelector"]
    assert rule["spec"]["ingress"] == [{"from": [chosen]}]
    assert rule["spec"]["egress"] == [{"to": [chosen]}]
    assert rule["metadata"]["ownerReferences"][0]["uid"] == "1"
