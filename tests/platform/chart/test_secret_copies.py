"""Secrets that are kept in another namespace and copied to the platform's.

The Kubernetes API here is a stand-in that lists and reads Secrets, since these tests have no cluster; its answers
have the real one's form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from romanhub.cli import romanhub
from romanhub.local.environments import SetupError

from tests.platform.chart.test_secrets_and_nodes import complete

#: A certificate as Kubernetes hands it out, and the one that follows it.
FIRST, SECOND = {"tls.crt": "Zmlyc3Q=", "tls.key": "a2V5LTE="}, {"tls.crt": "c2Vjb25k", "tls.key": "a2V5LTI="}


@dataclass
class StandInCluster:
    """Answers for a cluster's Secrets, by namespace and name."""

    kubeconfig: Path
    secrets: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    #: Namespaces whose Secrets are shown to nobody.
    closed: set[str] = field(default_factory=set)

    def keep(self, namespace: str, name: str, data: dict[str, str], **more: Any) -> None:
        self.secrets[namespace, name] = {
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "data": data,
            **more,
        }

    def apply(self, manifest: str) -> None:
        """Take what a command has printed, as `kubectl apply` does."""
        for one in yaml.safe_load_all(manifest):
            self.secrets[one["metadata"]["namespace"], one["metadata"]["name"]] = one

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        namespace, _, name = path.removeprefix("/api/v1/namespaces/").partition("/secrets")
        if namespace in self.closed:
            return 403, {"reason": "Forbidden"}
        if name:
            found = self.secrets.get((namespace, name.strip("/")))
            return (404, {"reason": "NotFound"}) if found is None else (200, found)
        return 200, {"items": [one for (where, _), one in self.secrets.items() if where == namespace]}

    def run(self, *command: str) -> tuple[int, str]:
        """Run `romanhub secrets` in the namespace roman."""
        done = CliRunner().invoke(
            romanhub, ["secrets", *command, "-n", "roman", "--kubeconfig", str(self.kubeconfig)]
        )
        if isinstance(done.exception, SetupError):
            return 1, str(done.exception)
        return done.exit_code, done.output


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[StandInCluster]:
    """A cluster with everything that is needed, and a certificate in a namespace of its own."""
    found = StandInCluster(tmp_path / "config")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = found.answer(self.path.partition("?")[0])
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    found.kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [],
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            }
        )
    )
    for name, keys in complete().items():
        found.keep("roman", name, dict.fromkeys(keys, "eA=="))
    found.keep("certificates", "wildcard", FIRST, type="kubernetes.io/tls")
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_copy_is_made_and_is_told_when_it_is_old(cluster: StandInCluster) -> None:
    code, manifest = cluster.run("copy", "romanhub-tls", "--from", "certificates/wildcard")
    assert code == 0, manifest
    cluster.apply(manifest)
    made = cluster.secrets["roman", "romanhub-tls"]
    assert (made["data"], made["type"]) == (FIRST, "kubernetes.io/tls")
    assert cluster.run("audit")[0] == 0

    cluster.keep("certificates", "wildcard", SECOND, type="kubernetes.io/tls")
    code, said = cluster.run("audit")
    assert code == 1
    assert (
        "✗ romanhub-tls: tls.crt is not as in certificates/wildcard, where it is kept: "
        "`romanhub secrets copy romanhub-tls` brings it." in said
    )
    assert not set(said.split()) & {*FIRST.values(), *SECOND.values()}, "no value is shown"

    # Where it was copied from is known by now.
    for command in (("copy", "romanhub-tls"), ("copy",)):
        code, manifest = cluster.run(*command)
        assert code == 0, manifest
        assert yaml.safe_load(manifest)["data"] == SECOND
    cluster.apply(manifest)
    assert cluster.run("audit")[0] == 0


def test_a_place_that_is_gone_or_closed_is_said_and_is_no_failure(cluster: StandInCluster) -> None:
    cluster.apply(cluster.run("copy", "romanhub-tls", "--from", "certificates/wildcard")[1])
    cluster.closed.add("certificates")
    code, said = cluster.run("audit")
    assert (code, "cannot be seen" in said) == (0, True)
    cluster.closed.clear()
    del cluster.secrets["certificates", "wildcard"]
    code, said = cluster.run("audit")
    assert (code, "is not there any more" in said) == (0, True)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("romanhub-tls", "--from", "wildcard"), "write NAMESPACE/NAME"),
        (("romanhub-tls", "--from", "certificates/none"), "There is no Secret certificates/none"),
        (("romanhub-hub", "--from", "certificates/wildcard"), "romanhub-hub is not copied: .* romanhub-tls alone"),
        (("romanhub-tls", "--from", "roman/romanhub-databases"), "has no tls.crt, which romanhub-tls needs"),
        (("romanhub-tls",), "was never copied here"),
        (("--from", "certificates/wildcard"), "Say which Secret it is"),
    ],
)
def test_what_cannot_be_copied_is_said_in_a_sentence(
    cluster: StandInCluster, command: tuple[str, ...], said: str
) -> None:
    code, output = cluster.run("copy", *command)
    assert code == 1
    assert "\n" not in output.strip()
    assert re.search(said, output), output


def test_with_no_copy_there_is_nothing_to_bring(cluster: StandInCluster) -> None:
    assert cluster.run("copy") == (0, "# Nothing is missing.")
