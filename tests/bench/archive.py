"""What reading the archive moves and how long it takes, on files of the size of Roman's, from a real S3 server.

The reading side runs in the users' environment (`archive_side`), the server beside it on this machine, as on a
platform of one machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter
from romanhub.local.layout import State, default_state
from romanhub.local.ports import HOST

from tests.bench.hubs import ROOT, Process, hub_program, make_environments
from tests.bench.rows import Row
from tests.support.ports import free_port

KEY, SECRET = "bench", "bench-secret"

_ROWS = TypeAdapter(list[Row])


def measure() -> list[Row]:
    """Measure cutouts, full reads and a stack."""
    make_environments()
    python = State(default_state()).roman_environment(full=False).python
    with (
        tempfile.TemporaryDirectory(prefix="romanhub-bench-", dir="/var/tmp") as folder,
        _server(Path(folder)) as url,
    ):
        command = [str(python), "-m", "tests.bench.archive_side", folder, url, KEY, SECRET]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}", "HOME": folder}
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    return _ROWS.validate_json(done.stdout)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """An S3 server that keeps its objects in the folder; yields its address."""
    identity = {
        "name": "bench",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "List", "Write"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    names = ("master", "volume", "filer", "s3", "admin")
    ports = {name: free_port() for name in names}
    flags = [f"-{name}.port={port}" for name, port in ports.items()]
    flags += [f"-{name}.port.grpc={free_port()}" for name in names]
    command = [hub_program("weed"), f"-logdir={folder}", "mini", f"-dir={folder / 'data'}"]
    command += [f"-ip={HOST}", f"-ip.bind={HOST}", "-master.telemetry=false", "-webdav=false", "-admin.ui=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}", *flags]
    running = Process("weed", command, dict(os.environ), folder)
    try:
        # Without keys it refuses, and so shows that it is there.
        url = f"http://{HOST}:{ports['s3']}"
        running.wait_for(f"{url}/", status=403)
        yield url
    finally:
        running.end()
        shutil.rmtree(folder / "data", ignore_errors=True)
