"""What pods may do: in their containers, in the cluster, and on the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from romanhub.chart.hub import ADDRESSES

from tests.helm.charts import COMMUNITY, VALUES, Rendered, pods, render, with_values

METADATA = "169.254.169.254"


def unrestricted(spec: dict[str, Any]) -> list[str]:
    """What of a pod does not meet the restricted Pod Security Standard, as Kubernetes' documentation has it."""
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [f"volume {one['name']}" for one in spec.get("volumes", []) if not set(one) - {"name"} <= allowed]
    pod = spec.get("securityContext", {})
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        own = container.get("securityContext", {})
        both = {**pod, **own}
        name = container["name"]
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            found.append(f"{name} may be root")
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append(f"{name} may become root")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
            found.append(f"{name} has capabilities")
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append(f"{name} may make any system call")
    return found


def test_every_pod_meets_the_restricted_standard(with_community: Rendered) -> None:
    found = {where: unrestricted(template["spec"]) for where, template in pods(with_community.ours()).items()}
    assert len(found) == 11
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


def test_so_do_those_of_the_real_charts(real_chart: Path) -> None:
    found = {where: unrestricted(one["spec"]) for where, one in pods(render(real_chart, VALUES).objects).items()}
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


def test_only_those_parts_have_a_token_that_use_it(with_community: Rendered) -> None:
    with_token = {
        where for where, one in pods(with_community.ours()).items() if one["spec"]["automountServiceAccountToken"]
    }
    assert with_token == {f"Deployment/romanhub-{part}" for part in ("gateway", "controller", "dask-proxy")}


def test_no_rule_is_wide_and_each_has_a_reason(rendered: Rendered) -> None:
    roles = [*rendered.kind("Role").values(), *rendered.kind("ClusterRole").values()]
    assert roles
    for role in roles:
        reasons = role["metadata"]["annotations"]
        assert len(role["rules"]) == len(reasons)
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
    for role in rendered.kind("ClusterRole").values():
        for rule in role["rules"]:
            assert set(rule["verbs"]) <= {"list", "watch"}
            assert "secrets" not in rule["resources"], "no part reads the Secrets of other namespaces"


def test_every_pod_has_a_policy_for_both_directions(with_community: Rendered) -> None:
    policies = list(with_community.kind("NetworkPolicy").values())
    for where, template in pods(with_community.ours()).items():
        labels = template["metadata"]["labels"]
        mine = [one for one in policies if _selects(one["spec"]["podSelector"], labels)]
        assert mine, where
        assert all(set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"} for one in mine)


def test_workers_reach_no_database_no_metadata_and_no_private_address(rendered: Rendered) -> None:
    egress = _clusters(rendered)["egress"]
    blocks = [to["ipBlock"] for rule in egress for to in rule.get("to", []) if "ipBlock" in to]
    assert [one["cidr"] for one in blocks] == ["0.0.0.0/0"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(blocks[0]["except"])
    selectors = [to["podSelector"] for rule in egress for to in rule["to"] if "podSelector" in to]
    reached = [one["matchLabels"]["app.kubernetes.io/component"] for one in selectors]
    assert set(reached) == {"proxy", "gateway"}, "not the hub, not people's servers, not other people's clusters"


def test_clusters_are_reached_by_what_manages_them_alone(rendered: Rendered) -> None:
    (rule,) = _clusters(rendered)["ingress"]
    who = {one["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in rule["from"]}
    assert who == {"dask-proxy", "gateway", "controller"}
    # Within a cluster it is the controller that says so, which is told to.
    said = yaml.safe_load(rendered.kind("ConfigMap")["romanhub-settings"]["data"]["dask.yaml"])
    assert said["network_policies"] is True


def test_the_hub_reaches_every_service_that_it_waits_for(rendered: Rendered) -> None:
    for address in ADDRESSES.values():
        part, port = address.removeprefix("http://").split(":")
        served = rendered.kind("Service")[part]["spec"]["ports"]
        assert int(port) in [one["port"] for one in served]
        ingress = rendered.kind("NetworkPolicy")[part]["spec"]["ingress"]
        who = [one["podSelector"]["matchLabels"] for one in ingress[0]["from"]]
        assert {"hub", "proxy"} <= {one["app.kubernetes.io/component"] for one in who}


@pytest.mark.parametrize("part", ["portal", "search", "watch", "probe", "migrations", "gateway", "controller"])
def test_only_the_broker_reaches_the_metadata_address(part: str, rendered: Rendered) -> None:
    policy = rendered.kind("NetworkPolicy")
    assert METADATA not in str(policy[f"romanhub-{part}"]["spec"])
    assert METADATA in str(policy["romanhub-broker"]["spec"])


def test_the_runner_reaches_the_hub_and_the_databases_alone(with_community: Rendered) -> None:
    egress = with_community.kind("NetworkPolicy")["romanhub-runner"]["spec"]["egress"]
    ports = sorted(port["port"] for rule in egress for port in rule["ports"])
    assert ports == [53, 53, 5432, 8081]
    assert with_community.kind("NetworkPolicy")["romanhub-runner"]["spec"]["ingress"] in (None, [])


def test_the_purge_meets_the_standard_and_has_a_policy(chart: Path) -> None:
    found = render(chart, with_values({"purge": "archive: /a"}))
    template = pods(found.ours())["CronJob/romanhub-purge"]
    assert unrestricted(template["spec"]) == []
    assert template["spec"]["automountServiceAccountToken"] is False
    policies = found.kind("NetworkPolicy").values()
    assert any(_selects(one["spec"]["podSelector"], template["metadata"]["labels"]) for one in policies)


def test_the_portal_reaches_the_outside_for_its_community_alone(
    chart: Path, rendered: Rendered, with_community: Rendered
) -> None:
    def portal(found: Rendered) -> str:
        return str(found.kind("NetworkPolicy")["romanhub-portal"]["spec"]["egress"])

    assert "0.0.0.0/0" not in portal(rendered)
    assert "0.0.0.0/0" in portal(with_community), "its bucket, and repositories"
    assert METADATA not in portal(with_community).replace("'169.254.0.0/16'", ""), (
        "a key in a Secret needs no role"
    )
    role = {"portal": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/c"}}}}
    assert METADATA in portal(render(chart, with_values(COMMUNITY, role)))


def test_an_air_gapped_cluster_reaches_its_storage_alone(chart: Path) -> None:
    rendered = render(chart, with_values({"network": {"internet": False, "storage": ["10.1.2.3/32"]}}))
    blocks = [
        to["ipBlock"]["cidr"] for rule in _clusters(rendered)["egress"] for to in rule["to"] if "ipBlock" in to
    ]
    assert blocks == ["10.1.2.3/32"]


def _clusters(rendered: Rendered) -> dict[str, Any]:
    spec: dict[str, Any] = rendered.kind("NetworkPolicy")["romanhub-dask-clusters"]["spec"]
    return spec


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    return all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))
