"""The list of secrets, compared with what a cluster has; and which machines fit on which nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hubquota.services.tiersfile import load_tiers
from romanhub.chart.nodes import fitting, left_over, machines, misfits
from romanhub.chart.secretlist import audit, holding, load_secrets, manifests
from romanhub.chart.values import NodePool
from romanhub.cli import romanhub
from romanhub.local.environments import SetupError
from romanhub.services.hubservices import SERVED, USING

ROOT = Path(__file__).resolve().parents[3]
LIST = ROOT / "helm" / "romanhub" / "files" / "secrets.yaml"
TIERS = ROOT / "hub_config" / "tiers.yaml"


def complete() -> dict[str, dict[str, bool]]:
    return {
        name: {key: True for key, said in secret.keys.items() if said.when is None}
        for name, secret in load_secrets(LIST).items()
        if secret.when is None
    }


def test_a_complete_cluster_lacks_nothing() -> None:
    assert not [sentence for wrong, sentence in audit(load_secrets(LIST), complete()) if wrong]


def test_each_that_is_missing_or_empty_is_said_with_what_to_do() -> None:
    found = complete()
    found["romanhub-hub"]["portal"] = False
    del found["romanhub-databases"]["ledger"]
    wrong = [sentence for is_wrong, sentence in audit(load_secrets(LIST), found) if is_wrong]
    assert wrong == [
        "romanhub-hub: portal is empty: `romanhub secrets generate` makes it.",
        "romanhub-databases: ledger is missing: you give it (The ledger's, such as "
        "postgresql+psycopg://romanhub:…@db.example.org/ledger.)",
    ]


#: An operator's values.
VALUES = {
    "global": {"romanhub": {"community": {"bucket": "mine"}}},
    "broker": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}}},
    "jupyterhub": {"ingress": {"tls": [{"secretName": "romanhub-tls"}]}},
}


def test_without_values_what_may_be_needed_is_said() -> None:
    said = [sentence for wrong, sentence in audit(load_secrets(LIST), complete()) if not wrong]
    assert "romanhub-databases: community is not there. It is needed when there is a community." in said
    assert "romanhub-sign-in is not there. It is needed when signIn is institution." in said


def test_with_values_it_is_known_what_is_needed() -> None:
    said = list(audit(load_secrets(LIST), complete(), holding(VALUES)))
    assert [sentence for wrong, sentence in said if wrong] == [
        "romanhub-databases: community is missing: you give it (That of the community's catalogue.)",
        "romanhub-sign-in: sign-in.yaml is missing: you give it (The provider's file of settings, as "
        "docs/operator-sign-in.md describes it.)",
        "romanhub-tls: tls.crt is missing: `romanhub secrets copy` brings it from where it is kept (The "
        "certificate.)",
        "romanhub-tls: tls.key is missing: `romanhub secrets copy` brings it from where it is kept (Its key.)",
    ]
    assert not any("romanhub-storage" in sentence for _, sentence in said), "the broker has a role in the cloud"
    trial = holding({"global": {"romanhub": {"signIn": "trial"}}})
    assert not [sentence for wrong, sentence in audit(load_secrets(LIST), complete(), trial) if wrong]


def test_every_condition_can_be_told(tmp_path: Path) -> None:
    declared = load_secrets(LIST)
    found = {one.when for secret in declared.values() for one in (secret, *secret.keys.values()) if one.when}
    for condition in found:
        holding(VALUES)(condition)
    wrong = tmp_path / "secrets.yaml"
    wrong.write_text(LIST.read_text().replace("when: an ingress names it", "when: it rains"))
    with pytest.raises(SetupError, match=r"romanhub-tls\.when"):
        load_secrets(wrong)


def test_what_is_in_no_list_is_said_and_is_no_failure() -> None:
    found = {**complete(), "romanhub-old": {"key": True}, "somebody-elses": {"key": True}}
    found["romanhub-hub"]["left-over"] = True
    said = list(audit(load_secrets(LIST), found))
    assert not any(wrong for wrong, _ in said)
    text = " ".join(sentence for _, sentence in said)
    assert "left-over" in text
    assert "romanhub-old" in text
    assert "somebody-elses" not in text


def test_generating_makes_what_is_missing_and_touches_nothing_else() -> None:
    declared = load_secrets(LIST)
    first = manifests(declared, {})
    assert [one["metadata"]["name"] for one in first] == ["romanhub-hub"], "what is given is never made"
    values = first[0]["stringData"]
    assert len(set(values.values())) == len(values), "no two are the same"
    assert all(len(value) >= 24 for value in values.values())
    assert set(values) >= {*SERVED, *USING}, "every service of the hub has a token"
    found = complete()
    found["romanhub-hub"]["watch"] = False
    assert [list(one["stringData"]) for one in manifests(declared, found)] == [["watch"]]


def test_a_list_with_a_mistake_is_said_with_its_path(tmp_path: Path) -> None:
    wrong = tmp_path / "secrets.yaml"
    wrong.write_text(LIST.read_text().replace("from: given", "from: found", 1))
    with pytest.raises(SetupError, match=r"romanhub-databases\.keys\.ledger\.from"):
        load_secrets(wrong)


def test_a_cluster_that_does_not_answer_is_said_in_a_sentence(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        '{"apiVersion": "v1", "kind": "Config", "current-context": "x", '
        '"clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}], "users": [], '
        '"contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]}'
    )
    for file, said in (
        (kubeconfig, "The cluster does not answer"),
        (tmp_path / "none", "There is no cluster to ask"),
    ):
        done = CliRunner().invoke(romanhub, ["secrets", "audit", "-n", "roman", "--kubeconfig", str(file)])
        assert isinstance(done.exception, SetupError)
        assert said in str(done.exception)


NODES = {
    "servers": NodePool(purpose="user", cores=31, memory_gib=240),
    "workers": NodePool(purpose="worker", cores=15.5, memory_gib=62, spot=True),
}


def test_what_fits_where() -> None:
    found = {one.title: one for one in machines(load_tiers(TIERS))}
    assert fitting(found["Medium server"], NODES["servers"]) == 7
    assert fitting(found["Medium server"], NODES["workers"]) == 0, "servers do not run among workers"
    assert fitting(found["Researcher worker"], NODES["workers"]) == 7
    assert left_over(found["Medium server"], NODES["servers"]) == pytest.approx(1 - 28 / 31)
    assert list(misfits(load_tiers(TIERS), NODES)) == [
        "Huge server (32 cores, 256 GiB) fits on none of the nodes for users' servers: add such nodes under "
        "`nodes`, or take it out of the tiers file."
    ]


def test_the_command_says_it_and_prints_the_table(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("nodes:\n  all: {cores: 63.0, memoryGib: 500}\n")
    done = CliRunner().invoke(romanhub, ["kubernetes", "check", str(TIERS), "-f", str(values)])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(romanhub, ["kubernetes", "nodes", str(TIERS), "-f", str(values)])
    assert "| Medium server (4 cores, 16 GiB) | 15, 5% unused |" in done.output
    values.write_text("nodes:\n  all: {cores: many, memoryGib: 500}\n")
    done = CliRunner().invoke(romanhub, ["kubernetes", "check", str(TIERS), "-f", str(values)])
    assert "nodes.all.cores" in str(done.exception)
