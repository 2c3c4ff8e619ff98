"""The extension of the Jupyter server, in the environment that users' servers run in."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hubquota.activity import SETTING, note_busy

from tests.quota.support import HERE
from tests.support.ports import free_port


def test_a_kernel_that_computes_in_silence_counts_as_activity(tmp_path: Path) -> None:
    environments = os.environ.get("ROMANHUB_ENVIRONMENTS", "")
    python = Path(environments, "roman-core", "bin", "python")
    if not python.exists():
        pytest.skip("The environment of the users' servers is not there; `make test` makes it.")
    options = [
        f"--ServerApp.root_dir={tmp_path}",
        f"--ServerApp.port={free_port()}",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        "--KernelSpecManager.allowed_kernelspecs=python3",
        "--KernelSpecManager.ensure_native_kernel=True",
    ]
    where = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(HERE.parents[1] / "quota")}
    ran = subprocess.run(
        [str(python), str(HERE / "busy_server.py"), *options],
        env=where,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {"resting": False, "seen": True}


def test_a_server_without_a_busy_kernel_notes_nothing() -> None:
    states = {"a": SimpleNamespace(execution_state="idle"), "b": SimpleNamespace()}
    kernels = SimpleNamespace(list_kernel_ids=lambda: list(states), get_kernel=states.__getitem__)
    settings: dict[str, Any] = {}
    assert not note_busy(settings, kernels)
    assert settings == {}
    states["b"].execution_state = "busy"
    now = datetime.now(UTC)
    assert note_busy(settings, kernels, lambda: now)
    assert settings == {SETTING: now}
