"""Letting a program into a cluster as an account of a namespace, as Kubernetes lets a pod in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

#: How long such a file lets somebody in, in seconds: longer than all the tests take.
_SECONDS = 6 * 3600


def let_in(api: httpx.Client, folder: Path, namespace: str, name: str, trust: dict[str, Any]) -> Path:
    """Write a kubeconfig with an account's token; the account is made where there is none.

    Parameters
    ----------
    api
        An administrator's client of the API server.
    folder
        Where the file goes.
    namespace, name
        The account's.
    trust
        How the API server is known, as a kubeconfig says it of a cluster.
    """
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    made = api.post(accounts, json={"metadata": {"name": name}})
    assert made.status_code in (201, 409), made.text
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    answer = api.post(f"{accounts}/{name}/token", json={**asked, "spec": {"expirationSeconds": _SECONDS}})
    assert answer.is_success, answer.text
    cluster = {"server": str(api.base_url).rstrip("/"), **trust}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": answer.json()["status"]["token"]}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}],
        "current-context": "test",
    }
    path = folder / f"{namespace}-{name}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path
