"""What the tests of the notebook side share: a real S3 server, the archive in it, and a stand-in portal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ports import free_port

# The hub side's environment has none of these; each test module there says why it is skipped.
if TYPE_CHECKING or find_spec("roman_datamodels"):
    import httpx
    import romanhub
    import s3fs
    from romanhub.client.archive import Archive
    from romanhub.client.credentials import source
    from romanhub.client.storage import StorageAccess

BUCKET = "sky-archive"
#: The buckets that the archive's reader may read: the archive's, and those of other tests.
BUCKETS = (BUCKET, "large", "broken")
READER_KEY, READER_SECRET = "reader-key-4711", "reader-secret-0815"
WRITER_KEY, WRITER_SECRET = "writer-key-4711", "writer-secret-0815"
TOKEN = "token-that-nobody-should-see"

ASK = "To ask for more, write to the people who run this platform."
BALANCE = {"posted": "12.6", "accrued": "0.1", "set_aside": "0", "available": "12.5"}
WORKER = {
    "kind": "dask-worker",
    "key": "w",
    "label": "Dask worker",
    "price": "0.04",
    "seconds": 200,
    "cost": "0.0022",
}
SERVER = {
    "kind": "server",
    "key": "server:ada/",
    "label": "Medium server",
    "price": "0.15",
    "seconds": 2400,
    "cost": "0.1",
}

OFFER = {
    "account": "ada",
    "own": True,
    "tier": "Explorer",
    "workers": 4,
    "room": 4,
    "price": "0.04",
    "available": "12.5",
    "running": "0",
}
CLUSTER = {
    "account": "ada",
    "started_at": "2026-11-22T16:00:00Z",
    "ended_at": None,
    "reason": None,
    "workers": 0,
    "most": 4,
    "limit": 4,
    "price": "0",
    "cost": "0",
    "seconds_left": None,
    "warnings": [],
}


def program(name: str) -> str:
    """Return one of the hub side's programs: from the environment that the tests are told of, or the path."""
    given = os.environ.get("ROMANHUB_TEST_HUB_BIN")
    if given:
        return str(Path(given) / name)
    found = shutil.which(name)
    if not found:
        pytest.skip(f"no {name}: set ROMANHUB_TEST_HUB_BIN to the folder of the hub environment's programs")
    return found


@dataclass
class StorageServer:
    """A running S3 server. Its access is for reading the archive's bucket only."""

    access: StorageAccess
    writer: s3fs.S3FileSystem

    @property
    def secrets(self) -> list[str]:
        """What must never be shown: where the archive is, and the key that reads it."""
        assert self.access.endpoint
        return [self.access.endpoint.removeprefix("http://"), BUCKET, READER_KEY, READER_SECRET]

    def fill(self, bucket: str, files: dict[str, bytes]) -> None:
        """Make the bucket hold these files and nothing else."""
        if self.writer.exists(bucket):
            for path in self.writer.find(bucket):
                self.writer.rm_file(path)
        else:
            self.writer.mkdir(bucket)
        for key, content in files.items():
            self.writer.pipe_file(f"{bucket}/{key}", content)
        self.writer.invalidate_cache()


@pytest.fixture(scope="session")
def storage_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageServer]:
    """SeaweedFS on free ports, with a bucket, a key that may write and one that may only read."""
    weed = program("weed")
    folder = tmp_path_factory.mktemp("weed")
    ports = [free_port() for _ in range(10)]
    identities = folder / "s3.json"
    identities.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "writer",
                        "credentials": [{"accessKey": WRITER_KEY, "secretKey": WRITER_SECRET}],
                        "actions": ["Admin", "Read", "List", "Write"],
                    },
                    {
                        "name": "reader",
                        "credentials": [{"accessKey": READER_KEY, "secretKey": READER_SECRET}],
                        "actions": [f"{right}:{bucket}" for bucket in BUCKETS for right in ("Read", "List")],
                    },
                ]
            }
        )
    )
    names = ("master", "volume", "filer", "s3", "admin")
    flags = [f"-{name}.port={port}" for name, port in zip(names, ports[:5], strict=True)]
    flags += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[5:], strict=True)]
    process = subprocess.Popen(
        [
            weed,
            f"-logdir={folder}",
            "mini",
            f"-dir={folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-webdav=false",
            "-admin.ui=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={identities}",
            *flags,
        ],
        stdout=(folder / "out").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    endpoint = f"http://127.0.0.1:{ports[3]}"
    writer = s3fs.S3FileSystem(
        key=WRITER_KEY,
        secret=WRITER_SECRET,
        client_kwargs={"endpoint_url": endpoint, "region_name": "us-east-1"},
        config_kwargs={"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 0}},
    )
    try:
        _until(lambda: writer.mkdir(BUCKET), process, folder / "out")
        yield StorageServer(
            access=StorageAccess.model_validate(
                {
                    "endpoint": endpoint,
                    "bucket": BUCKET,
                    "region": "us-east-1",
                    "access_key": READER_KEY,
                    "secret_key": READER_SECRET,
                }
            ),
            writer=writer,
        )
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _until(attempt: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Make an attempt again and again until it works; a server that starts gives no other sign."""
    deadline = time.monotonic() + 90
    while True:
        try:
            attempt()
            return
        except Exception:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The S3 server did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)


@pytest.fixture(scope="session")
def sample() -> Path:
    """The sample archive that the repository carries."""
    folder = Path(__file__).parents[3] / "platform" / "romanhub" / "sample" / "small"
    if not (folder / "index.json").exists():
        pytest.fail(f"There is no sample archive in {folder}.")
    return folder


@pytest.fixture(scope="session")
def stored(storage_server: StorageServer, sample: Path) -> StorageServer:
    """The S3 server with the sample archive in its bucket."""
    for path in sorted(sample.rglob("*")):
        if path.is_file() and path.name != "README.md":
            storage_server.writer.put_file(str(path), f"{BUCKET}/{path.relative_to(sample)}")
    return storage_server


@pytest.fixture
def archive(stored: StorageServer) -> Archive:
    """The archive, connected to the storage without a portal."""
    return Archive(stored.access)


@pytest.fixture(scope="session")
def large_archive(storage_server: StorageServer, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An archive with one exposure of 2048 x 2048 pixels, not compressed, in which every pixel is 0.5."""
    import numpy as np
    from roman_datamodels.datamodels import ImageModel

    model = ImageModel.create_fake_data(shape=(8, 8))
    for name, kind in (("data", np.float32), ("err", np.float16), ("dq", np.uint32)):
        model[name] = np.full((2048, 2048), 0.5, kind)
    path = tmp_path_factory.mktemp("large") / "large.asdf"
    model.to_asdf(path, all_array_compression=None)
    record = {
        "name": "large",
        "level": 2,
        "key": "large.asdf",
        "optical_element": "F158",
        "detector": "WFI01",
        "start": "2027-06-01T00:00:00Z",
        "exposure_time": 100.0,
        "footprint": [[0, 0], [1, 0], [1, 1]],
        "shape": [2048, 2048],
        "size": path.stat().st_size,
        "sha256": "0" * 64,
    }
    index = {"made": "2027-06-01T00:00:00Z", "made_by": "a test", "exposures": [record], "catalogs": []}
    storage_server.fill("large", {"index.json": json.dumps(index).encode(), "large.asdf": path.read_bytes()})
    return Archive(storage_server.access.model_copy(update={"bucket": "large"}))


@dataclass
class StandInPortal:
    """A stand-in for the portal: a real HTTP server that gives fixed answers to the client's questions.

    It checks the token as the portal does. `answers` maps a path to a status, a content type and a body;
    `asked` lists the paths that were asked for, and `sent` what was sent to each.
    """

    url: str = ""
    token: str = TOKEN
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    #: What is answered at every path that begins like this, where there is no answer for the whole path.
    anything: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: dict[str, Any] = field(default_factory=dict)

    def find(self, path: str) -> tuple[int, str, bytes]:
        """Return the answer at a path."""
        if path in self.answers:
            return self.answers[path]
        for start, body in self.anything.items():
            if path.startswith(start):
                name = path.removeprefix("api/clusters/")
                return 200, "application/json", json.dumps(body | {"name": name}).encode()
        return 404, "text/plain", b"not here"

    def show_archive(self, access: StorageAccess) -> None:
        """Hand out keys for this access to the archive, as the broker would."""
        assert access.access_key and access.secret_key
        dataset = {
            "bucket": access.bucket,
            "prefix": "level2/",
            "region": access.region,
            "title": "Roman Level 2",
            "description": "Exposures.",
            "mission": "Roman",
            "format": "asdf",
            "level": 2,
            "index": "index.json",
            "citation": {"text": "Nobody 2026"},
        }
        self.answer("api/products", {})
        self.answer(
            "api/credentials",
            {
                "access_key": access.access_key.get_secret_value(),
                "secret_key": access.secret_key.get_secret_value(),
                "session_token": "",
                "expiration": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
                "endpoint": access.endpoint,
                "region": access.region,
                "datasets": {
                    "roman-l2": dataset,
                    **{
                        name: dataset
                        | {"format": "hats", "level": None, "prefix": f"{folder}/{name}/", "index": None}
                        for folder, name in (
                            ("hats", "roman-sources"),
                            ("hats", "roman-detections"),
                            ("surveys", "gaia"),
                            ("surveys", "rubin"),
                        )
                    },
                },
                "scratch": {},
            },
        )

    def show_account(self, *, workers: int = 4, dask_workers: int = 0) -> None:
        """Tell of an account that has 12.5 credits and a server and `dask_workers` running.

        Its tier allows so many `workers`.
        """
        dask = {"clusters": 1, "workers": workers, "worker_cores": 1, "worker_memory_gib": 4, "price": "0.04"}
        self.answer("api/me", {"name": "ada", "tier": "explorer", "admin": False, "balance": BALANCE})
        self.answer(
            "api/tiers", {"ask": ASK, "sizes": {}, "tiers": {"explorer": {"title": "Explorer", "dask": dask}}}
        )
        self.answer("api/statement?limit=1", {"balance": BALANCE, "running": [SERVER] + [WORKER] * dask_workers})
        self.show_offer(workers=workers)
        self.show_cluster(limit=workers, most=workers)

    def show_offer(self, **changed: Any) -> None:
        """Offer so many workers on ada's account, to whoever asks."""
        self.anything["api/clusters/offer"] = OFFER | changed

    def show_cluster(self, **changed: Any) -> None:
        """Tell this of every cluster, whatever its name."""
        self.anything["api/clusters/"] = CLUSTER | changed

    def answer(self, path: str, body: Any, status: int = 200, kind: str = "application/json") -> None:
        """Give this answer at a path from now on."""
        self.answers[path] = (status, kind, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of bytes of each request to the storage."""
    from romanhub.asdf_blocks import S3Source

    sizes: list[int] = []
    original = S3Source._once

    def counted(self: Any, connections: Any, url: str, job: Any) -> None:
        before = job.done
        original(self, connections, url, job)
        sizes.append(job.done - before)

    monkeypatch.setattr(S3Source, "_once", counted)
    return sizes


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInPortal]:
    """A stand-in portal, and the environment of a server that knows it."""
    stand_in = StandInPortal()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/services/portal/").removeprefix("/services/broker/")
            stand_in.asked.append(path)
            if length := int(self.headers.get("Content-Length", 0)):
                stand_in.sent[path] = json.loads(self.rfile.read(length))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, kind, body = 403, "application/problem+json", b'{"detail": "Not yours."}'
            else:
                status, kind, body = stand_in.find(path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815  -- the names that the server looks for

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}/services/portal/"
    monkeypatch.setenv("ROMANHUB_PORTAL_URL", stand_in.url)
    monkeypatch.setenv("ROMANHUB_BROKER_URL", stand_in.url.replace("portal", "broker"))
    source.cache_clear()
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    yield stand_in
    source.cache_clear()
    server.shutdown()
    server.server_close()
    thread.join()


GATEWAY = """
import json
from pathlib import Path

from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.local import UnsafeLocalBackend
from dask_gateway_server.options import Integer, Options, String

REFUSAL = Path({refusal!r})
ENVIRONMENT = REFUSAL.with_name("environment")


class Backend(UnsafeLocalBackend):
    def get_env(self, cluster):
        told = REFUSAL.with_name("workers")
        return super().get_env(cluster) | (json.loads(told.read_text()) if told.exists() else {{}})

    async def start_cluster(self, user, options):
        if REFUSAL.exists():
            raise PublicException(REFUSAL.read_text())
        return await super().start_cluster(user, options)


def chosen(options):
    if ENVIRONMENT.exists() and options.environment != ENVIRONMENT.read_text():
        raise ValueError("Your server runs another environment.")
    return {{"worker_cores": options.worker_cores}}


c.DaskGateway.backend_class = Backend
c.DaskGateway.address = "127.0.0.1:{ports[0]}"
c.Proxy.address = "127.0.0.1:{ports[1]}"
c.Proxy.tcp_address = "127.0.0.1:{ports[2]}"
c.Backend.clusters_directory = {folder!r}
c.ClusterConfig.scheduler_cmd = [
    {python!r}, "-m", "dask", "scheduler", "--no-dashboard", "--preload", "romanhub.client.dashboard"
]
c.ClusterConfig.worker_cmd = [{python!r}, "-m", "dask", "worker", "--no-dashboard"]
c.ClusterConfig.environment = {{
    "PYTHONPATH": {source!r}, "DASK_DISTRIBUTED__WORKER__PRELOAD": '["romanhub.client.dashboard"]'
}}
c.ClusterConfig.cluster_max_workers = 2
c.Backend.cluster_options = Options(
    Integer("worker_cores", default=1, min=1, max=1),
    String("environment"),
    handler=chosen,
)
"""


@dataclass
class GatewayServer:
    """A running Dask gateway whose clusters have at most two workers, and the file that makes it refuse."""

    address: str
    proxy_address: str
    refusal: Path

    @property
    def environment(self) -> Path:
        """The file that says which environment the workers are of; without it, clients may be of any."""
        return self.refusal.with_name("environment")

    def dashboard(self, cluster: str) -> Path:
        """The socket of a cluster's dashboard."""
        return self.refusal.parent / "clusters" / cluster / "dashboard"


@pytest.fixture(scope="session")
def gateway_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """A real Dask gateway on free ports, with workers in this environment."""
    server = program("dask-gateway-server")
    folder = tmp_path_factory.mktemp("gateway")
    ports = [free_port() for _ in range(3)]
    refusal = folder / "refusal"
    config = folder / "config.py"
    config.write_text(
        GATEWAY.format(
            refusal=str(refusal),
            ports=ports,
            folder=str(folder / "clusters"),
            python=sys.executable,
            source=str(Path(romanhub.__file__).parents[1]),
        )
    )
    log = folder / "log"
    process = subprocess.Popen(
        [server, "-f", str(config)],
        cwd=folder,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # The server's libraries are its own environment's, not this one's.
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    address = f"http://127.0.0.1:{ports[1]}"
    try:
        _until(lambda: httpx.get(f"{address}/api/health").raise_for_status(), process, log)
        yield GatewayServer(address, f"gateway://127.0.0.1:{ports[2]}", refusal)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def gateway(gateway_server: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GatewayServer]:
    """The gateway, and the environment and configuration of a server that knows it."""
    import dask

    gateway_server.refusal.unlink(missing_ok=True)
    gateway_server.environment.unlink(missing_ok=True)
    monkeypatch.setenv("DASK_GATEWAY__ADDRESS", gateway_server.address)
    monkeypatch.setenv("DASK_GATEWAY__PROXY_ADDRESS", gateway_server.proxy_address)
    monkeypatch.setenv("DASK_GATEWAY__AUTH__TYPE", "basic")
    # For this process, in which Dask has read its environment already.
    with dask.config.set(
        {
            "gateway.address": gateway_server.address,
            "gateway.proxy-address": gateway_server.proxy_address,
            "gateway.auth.type": "basic",
        }
    ):
        yield gateway_server
