"""The chart makes what it says, and hands to others what they know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from romanhub.chart.alerts import ALERTS
from romanhub.chart.dashboards import DASHBOARDS
from romanhub.chart.settings import Settings
from romanhub.chart.values import ChartValues
from romanhub.cli import romanhub
from romanhub.community.proof.__main__ import NEEDED
from romanhub.community.proof.settings import RunSettings, load_run_settings
from romanhub.kubernetes.settings import DaskSettings
from romanhub.portal.settings import PortalSettings
from romanhub.services.hubservices import SERVED

from tests.helm.charts import (
    CHART,
    COMMUNITY,
    NAMESPACE,
    TIERS,
    VALUES,
    Rendered,
    dependencies,
    pods,
    render,
    schema_of,
    with_values,
)

PARTS = {"portal", "broker", "search", "watch", "gateway", "controller", "dask-proxy"}


def test_every_part_is_there(rendered: Rendered) -> None:
    assert set(rendered.kind("Deployment")) == {f"romanhub-{part}" for part in PARTS}
    assert set(rendered.kind("CronJob")) == {"romanhub-probe", "romanhub-search-index"}
    assert set(rendered.kind("Job")) == {"romanhub-migrations"}
    names = {(one["kind"], one["metadata"]["name"]) for one in rendered.objects}
    assert len(names) == len(rendered.objects), "two objects have one name"


def test_the_charts_files_are_what_the_models_say() -> None:
    done = CliRunner().invoke(romanhub, ["kubernetes", "write-chart", "--check"])
    assert done.exit_code == 0, done.output


def test_what_values_yaml_says_is_what_the_models_say() -> None:
    said = yaml.safe_load((CHART / "values.yaml").read_text())
    # The one thing that only the operator knows.
    said["global"]["romanhub"]["url"] = "https://hub.example.org"
    found = ChartValues.model_validate(said)
    plain = found.model_dump(by_alias=True, mode="json")
    missing = [path for path in _paths(plain) if not _has(said, path)]
    assert missing == [], "templates read values.yaml, so every default has to be there"


def _paths(value: dict[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, inner in value.items():
        path = (*above, key)
        if isinstance(inner, dict) and inner:
            found += _paths(inner, path)
        # What is not set is left out; how much a part gets of what is its own matter.
        elif inner not in (None, {}) and "resources" not in path and key not in ("replicas", "safeToShowValues"):
            found.append(path)
    return found


def _has(value: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def test_every_value_has_a_description() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    bare = [
        f"{name}.{key}"
        for name, model in {"": schema, **schema["definitions"]}.items()
        for key, said in model.get("properties", {}).items()
        # What is described with its own model is not described again beside it.
        if not said.get("description") and not schema["definitions"][said["$ref"].split("/")[-1]]["description"]
    ]
    assert bare == []


@pytest.mark.parametrize("name", dependencies())
def test_the_other_charts_know_what_they_are_handed(name: str, rendered: Rendered) -> None:
    schema = schema_of(name)
    if schema is None:
        pytest.skip(f"the schema of {name} is not on this machine; ROMANHUB_SCHEMAS names its folder")
    jsonschema.validate(rendered.reached(name), schema)
    # The check would find a mistake.
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**rendered.reached(name), "hubb": {}}, schema)


def test_the_hub_is_told_where_everything_is(rendered: Rendered) -> None:
    hub = rendered.reached("jupyterhub")["hub"]
    assert hub["existingSecret"] == "romanhub-hub"
    assert "extraConfig" not in hub, "no Python in YAML"
    maps = {one["configMap"]["name"] for one in hub["extraVolumes"] if "configMap" in one}
    assert maps <= set(rendered.kind("ConfigMap"))
    assert rendered.reached("jupyterhub")["cull"]["enabled"] is False
    assert rendered.reached("jupyterhub")["singleuser"]["cloudMetadata"]["blockWithIptables"] is False


def test_settings_arrive_as_they_were_given(chart: Path) -> None:
    storage = {"endpoint": "http://storage:9000", "region": "eu-1", "scratchBucket": "mine"}
    given = {"global": {"romanhub": {"storage": storage, "homes": {"shared": {"claim": "teams"}}}}}
    rendered = render(chart, with_values(given))
    text = rendered.kind("ConfigMap")["romanhub-settings"]["data"]["settings.yaml"]
    settings = Settings.model_validate(yaml.safe_load(text))
    assert settings.storage.region == "eu-1"
    assert settings.homes.shared.claim == "teams"
    broker = _environment(rendered, "romanhub-broker")
    assert broker["ROMANHUB_STORAGE_ENDPOINT"] == "http://storage:9000"
    assert broker["ROMANHUB_SCRATCH_BUCKET"] == "mine"


def test_the_gateways_programs_can_read_what_they_are_told(chart: Path) -> None:
    nodes = {"preferred": {"kind": "spot"}, "tolerations": [{"key": "spot"}]}
    rendered = render(chart, with_values({"dask": {"workers": {"nodes": nodes}, "grace_seconds": 5}}))
    text = rendered.kind("ConfigMap")["romanhub-settings"]["data"]["dask.yaml"]
    settings = DaskSettings.model_validate(yaml.safe_load(text))
    assert settings.namespace == NAMESPACE
    assert settings.image == "romanhub/roman:0.1.0"
    assert settings.workers.nodes.preferred == {"kind": "spot"}
    # Workers get keys for the storage as notebooks do.
    assert settings.environment["AWS_CONFIG_FILE"] == "/etc/romanhub/aws/config"
    assert settings.config_folders == {"romanhub-aws": "/etc/romanhub/aws"}
    assert set(settings.config_folders) <= set(rendered.kind("ConfigMap"))
    # What is said of nodes does not take away what follows from the chart.
    assert settings.workers.nodes.priority_class == f"{NAMESPACE}-dask-worker"
    assert settings.workers.nodes.priority_class in rendered.kind("PriorityClass")
    assert settings.scheduler.nodes.priority_class in rendered.kind("PriorityClass")


def test_the_tiers_file_is_the_same_as_on_one_machine(rendered: Rendered) -> None:
    assert yaml.safe_load(rendered.kind("ConfigMap")["romanhub-files"]["data"]["tiers.yaml"]) == yaml.safe_load(
        TIERS.read_text()
    )


def test_a_service_has_its_own_token_and_no_other(with_community: Rendered) -> None:
    services = {
        "runner": "runner",
        "portal": "portal",
        "broker": "broker",
        "search": "archive",
        "watch": "watch",
        "gateway": "dask-gateway",
    }
    for part, service in services.items():
        spec = with_community.kind("Deployment")[f"romanhub-{part}"]["spec"]["template"]["spec"]
        keys = [
            one["valueFrom"]["secretKeyRef"]["key"]
            for container in spec["containers"]
            for one in container["env"]
            if one.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == "romanhub-hub"
        ]
        assert keys == [service]
        if service in SERVED:
            assert (
                _environment(with_community, f"romanhub-{part}")["JUPYTERHUB_SERVICE_PREFIX"]
                == f"/services/{service}/"
            )


def test_secrets_that_pods_read_are_in_the_list(rendered: Rendered) -> None:
    declared = yaml.safe_load((CHART / "files" / "secrets.yaml").read_text())
    for where, template in pods(rendered.ours()).items():
        for container in template["spec"]["containers"]:
            for one in container.get("env", []):
                asked = one.get("valueFrom", {}).get("secretKeyRef")
                if asked:
                    assert asked["key"] in declared[asked["name"]]["keys"], f"{where}: {asked}"


def test_only_the_broker_carries_a_cloud_role(chart: Path) -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/romanhub-broker"}
    rendered = render(chart, with_values({"broker": {"serviceAccount": {"annotations": role}}}))
    with_role = [name for name, one in rendered.kind("ServiceAccount").items() if "annotations" in one["metadata"]]
    assert with_role == ["romanhub-broker"]


def test_migrations_come_before_installs_upgrades_and_rollbacks(rendered: Rendered) -> None:
    hook = rendered.kind("Job")["romanhub-migrations"]["metadata"]["annotations"]
    assert set(hook["helm.sh/hook"].split(",")) == {"pre-install", "pre-upgrade", "pre-rollback"}
    # What it reads is made before it.
    files = rendered.kind("ConfigMap")["romanhub-migrations"]["metadata"]["annotations"]
    assert int(files["helm.sh/hook-weight"]) < int(hook["helm.sh/hook-weight"])


def test_parts_of_which_there_is_one_are_never_two(with_community: Rendered) -> None:
    for part in ("watch", "controller", "search", "runner"):
        spec = with_community.kind("Deployment")[f"romanhub-{part}"]["spec"]
        assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


def test_a_change_of_settings_starts_parts_again_and_one_of_tiers_does_not(chart: Path) -> None:
    def annotation(values: dict[str, Any]) -> str:
        template = render(chart, values).kind("Deployment")["romanhub-portal"]["spec"]["template"]
        return str(template["metadata"]["annotations"]["romanhub.org/settings"])

    before = annotation(VALUES)
    assert annotation(with_values({"tiers": VALUES["tiers"] + "# a remark\n"})) == before
    assert annotation(with_values({"global": {"romanhub": {"url": "https://other.example.org"}}})) != before


def test_pieces_can_be_left_out(chart: Path) -> None:
    less = {"global": {"romanhub": {"search": False}}, "probe": {"enabled": False}, "network": {"enabled": False}}
    rendered = render(chart, with_values(less, {"quota": {"enabled": False}}))
    assert "romanhub-search" not in rendered.kind("Deployment")
    assert rendered.kind("CronJob") == {}
    assert rendered.kind("NetworkPolicy") == {}
    assert rendered.kind("ResourceQuota") == {}
    assert "ROMANHUB_SEARCH_URL" not in _environment(rendered, "romanhub-portal")


def test_workers_have_a_limit_in_all_and_give_way(rendered: Rendered) -> None:
    classes = rendered.kind("PriorityClass")
    worker = classes[f"{NAMESPACE}-dask-worker"]
    assert (
        worker["value"] < classes[f"{NAMESPACE}-dask-scheduler"]["value"] < classes[f"{NAMESPACE}-core"]["value"]
    )
    assert worker["preemptionPolicy"] == "Never"
    scope = rendered.kind("ResourceQuota")["romanhub-workers"]["spec"]["scopeSelector"]["matchExpressions"][0]
    assert scope["values"] == [f"{NAMESPACE}-dask-worker"]


def test_with_the_real_charts(real_chart: Path) -> None:
    rendered = render(real_chart, VALUES)
    hub = rendered.kind("Deployment")["hub"]["spec"]["template"]["spec"]["containers"][0]
    assert hub["args"][:3] == ["python", "-m", "romanhub.chart.hub"]
    # Its Service finds our gateway's pods.
    wanted = rendered.kind("Service")["api-dask-gateway"]["spec"]["selector"]
    labels = rendered.kind("Deployment")["romanhub-gateway"]["spec"]["template"]["metadata"]["labels"]
    assert wanted.items() <= labels.items()
    assert rendered.kind("Deployment")["api-dask-gateway"]["spec"]["replicas"] == 0


def test_a_community_brings_its_runner_and_the_portals_settings(with_community: Rendered) -> None:
    assert set(with_community.kind("Deployment")) == {f"romanhub-{part}" for part in {*PARTS, "runner"}}
    portal = _environment(with_community, "romanhub-portal")
    told = {
        **portal,
        "JUPYTERHUB_API_TOKEN": "a-token-of-the-portal",
        "HUBQUOTA_DATABASE_URL": "postgresql+psycopg://db/ledger",
        "ROMANHUB_COMMUNITY_DATABASE_URL": "postgresql+psycopg://db/community",
    }
    community = PortalSettings.from_environment(told).community
    assert community is not None
    assert (community.bucket, community.region, community.git_seconds) == ("my-community", "us-east-1", 3600)
    assert community.git_origins == frozenset()
    runner = _container(with_community, "romanhub-runner")
    assert {one["name"] for one in runner["env"]} >= set(NEEDED)
    # What everybody has: an entry that names another image is not run in this one.
    assert _environment(with_community, "romanhub-runner")["ROMANHUB_IMAGE"] == "romanhub/roman:0.1.0"
    # Both read the same file, which is right as it stands.
    assert _environment(with_community, "romanhub-runner")["ROMANHUB_RUNS"] == portal["ROMANHUB_RUNS"]
    assert runner["livenessProbe"]["httpGet"]["port"] == "metrics"
    job = with_community.kind("Job")["romanhub-migrations"]["spec"]["template"]["spec"]["containers"][0]
    assert "ROMANHUB_COMMUNITY_DATABASE_URL" in {one["name"] for one in job["env"]}


def test_without_a_bucket_nobody_is_told_of_a_community(rendered: Rendered) -> None:
    for part in PARTS:
        names = {one["name"] for one in _container(rendered, f"romanhub-{part}").get("env", [])}
        assert not any("COMMUNITY" in name for name in names), part


def test_how_notebooks_are_run_arrives_as_it_was_given(chart: Path, tmp_path: Path) -> None:
    given = {"every_days": 3, "at_once": 8, "size": "medium"}
    rendered = render(chart, with_values(COMMUNITY, {"runs": given}))
    file = tmp_path / "runs.yaml"
    file.write_text(rendered.kind("ConfigMap")["romanhub-settings"]["data"]["runs.yaml"])
    assert load_run_settings(str(file)) == RunSettings(**given)
    file.write_text(render(chart, VALUES).kind("ConfigMap")["romanhub-settings"]["data"]["runs.yaml"])
    assert load_run_settings(str(file)) == RunSettings()


def test_the_communitys_part_of_the_portal_can_be_said(chart: Path) -> None:
    more = {
        "global": {
            "romanhub": {
                "storage": {"endpoint": "http://storage:9000"},
                "community": {"curators": "editors", "gitOrigins": ["https://git.example.org:8443"]},
            }
        }
    }
    rendered = render(chart, with_values(COMMUNITY, more))
    portal = _environment(rendered, "romanhub-portal")
    assert portal["ROMANHUB_COMMUNITY_ENDPOINT"] == "http://storage:9000"
    assert portal["ROMANHUB_COMMUNITY_CURATORS"] == "editors"
    assert portal["ROMANHUB_COMMUNITY_GIT_ORIGINS"] == "https://git.example.org:8443"


#: The text of a purge's file, which a test of the quota package reads.
PURGE = {"purge": "archive: /var/lib/romanhub/purge\nadapters: {}\n"}


def test_the_purge_says_what_it_would_do_until_it_is_told_to_do_it(chart: Path, rendered: Rendered) -> None:
    assert "romanhub-purge" not in rendered.kind("CronJob"), "without its file there is none"
    found = render(chart, with_values(PURGE)).kind("CronJob")["romanhub-purge"]["spec"]
    (container,) = found["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["hubquota", "purge", "daily"]
    assert (found["concurrencyPolicy"], found["suspend"]) == ("Forbid", False)
    told = {"purgeJob": {"really": True, "homes": {"claim": "homes"}, "secret": "purge-keys"}}
    again = render(chart, with_values(PURGE, told))
    spec = again.kind("CronJob")["romanhub-purge"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["command"][-1] == "--really"
    assert {one["mountPath"] for one in container["volumeMounts"]} >= {"/homes", "/var/lib/romanhub/purge"}
    # What was taken from people outlives the release.
    kept = again.kind("PersistentVolumeClaim")["romanhub-purge"]["metadata"]["annotations"]
    assert kept["helm.sh/resource-policy"] == "keep"


def test_one_thing_purges(chart: Path) -> None:
    """The watch would do it too, without the archives' volume, if it knew the file."""
    rendered = render(chart, with_values(PURGE))
    for part, knows in {"watch": False, "portal": True, "broker": True, "gateway": False}.items():
        assert ("HUBQUOTA_PURGE" in _environment(rendered, f"romanhub-{part}")) is knows, part


def _container(rendered: Rendered, deployment: str) -> dict[str, Any]:
    found: dict[str, Any] = rendered.kind("Deployment")[deployment]["spec"]["template"]["spec"]["containers"][0]
    return found


def _environment(rendered: Rendered, deployment: str) -> dict[str, str]:
    container = _container(rendered, deployment)
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_what_watches_the_platform_is_in_the_chart(chart: Path) -> None:
    told = {"monitoring": {"rules": True, "dashboards": True, "namespaces": ["monitoring"]}}
    rendered = render(chart, with_values(COMMUNITY, told))
    rules = rendered.kind("PrometheusRule")["romanhub"]["spec"]["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == [one.name for one in ALERTS]
    assert all(rule["annotations"]["action"] for rule in rules)
    boards = rendered.kind("ConfigMap")["romanhub-dashboard"]["data"]
    assert {name: json.loads(text)["uid"] for name, text in boards.items()} == {
        f"{one.uid}.json": one.uid for one in DASHBOARDS
    }
    parts = {"watch", "controller", "runner", "hub"}
    assert set(rendered.kind("PodMonitor")) == {f"romanhub-{part}" for part in parts}
    # Each is let in where the parts are shut off.
    policies = rendered.kind("NetworkPolicy")
    for name in ("romanhub-watch", "romanhub-runner", "romanhub-hub-metrics", "romanhub-controller-metrics"):
        assert "'monitoring'" in str(policies[name]["spec"]["ingress"]), name
