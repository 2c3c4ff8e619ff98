"""The robot prober: that it uses the platform as a person does, and says in a sentence what does not work."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from romanhub.probe.robot import ROBOT

from tests.support.person import Person
from tests.support.platform import Platform, shared_environments
from tests.support.ports import free_port


def probe(platform: Platform, *words: str) -> tuple[int, dict[str, Any]]:
    """Run the operator's command; returns its exit code and its report."""
    command = [str(Path(shared_environments()) / "hub" / "bin" / "romanhub"), "probe", "--json", *words]
    done = subprocess.run(command, env=platform.variables(), capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def failures(report: dict[str, Any]) -> dict[str, str]:
    """What went wrong, by step."""
    return {step["name"]: step["failure"] for step in report["steps"] if step["failure"]}


@pytest.mark.timeout(600)
def test_the_robot_does_what_a_new_user_would_and_leaves_nothing_running(
    platform: Platform, tmp_path: Path
) -> None:
    numbers = tmp_path / "probe.prom"
    code, report = probe(platform, "--metrics", str(numbers))
    assert (code, failures(report)) == (0, {})
    names = [step["name"] for step in report["steps"]]
    assert names == ["sign-in", "server", "kernel", "cutout", "cluster", "notebook", "stop"]

    families = {family.name: family for family in text_string_to_metric_families(numbers.read_text())}
    assert [sample.value for sample in families["romanhub_probe_success"].samples] == [1]
    seconds = {sample.labels["step"]: sample.value for sample in families["romanhub_probe_step_seconds"].samples}
    assert seconds.keys() == set(names)
    assert seconds["notebook"] > seconds["sign-in"]

    admin = Person(platform.url, "admin", platform.admin_password)
    admin.sign_in()
    robot = admin.api("GET", f"/users/{ROBOT}").json()
    assert robot["servers"] == {}
    # Its account paid, like anybody's.
    header = {"Authorization": f"token {admin.token()}"}
    account = admin.web.get(f"/services/portal/api/accounts/{ROBOT}", headers=header).json()
    assert any(entry["kind"] == "charge" for entry in account["entries"])


def test_nobody_signs_in_as_the_robot(platform: Platform) -> None:
    assert Person(platform.url, ROBOT).sign_in().status_code == 403


def test_what_does_not_work_is_said_in_a_sentence(platform: Platform) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    code, report = probe(platform, "--url", nowhere, "--token", "any")
    assert code == 1
    assert failures(report) == {"sign-in": f"Nothing answers at {nowhere} (ConnectError)."}

    code, report = probe(platform, "--url", platform.url, "--token", "wrong")
    assert code == 1
    assert "403" in failures(report)["sign-in"]

    code, report = probe(platform, "--size", "huge")
    assert code == 1
    assert failures(report).keys() == {"server"}
    assert "does not offer the size 'huge'" in failures(report)["server"]
