"""A scheduler or a worker that is a copy of the ready process is what it would be if it had been started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from romanhub.dask.ready import ReadyProcess, Request

from tests.support.platform import shared_environments

PATIENCE = 60.0

#: Run with a scheduler's address: what somebody notices of two workers, one of which is made again.
LOOK = """
import json, os, sys
from distributed import Client

def told():
    import dask.config, numpy, random
    return {
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "folder": os.path.dirname(dask.config.get("temporary-directory")),
        "environment": dict(os.environ),
        "prefix": sys.prefix,
        "hash": hash("one"),
        "numpy": float(numpy.random.random()),
        "random": random.random(),
        "main": getattr(sys.modules["__main__"], "__file__", None),
    }

with Client(sys.argv[1]) as client:
    client.wait_for_workers(2, timeout=60)
    limits = [one["memory_limit"] for one in client.scheduler_info(n_workers=-1)["workers"].values()]
    first = client.run(told)
    client.restart_workers(list(first)[:1], timeout=60)
    second = client.run(told)
    print(json.dumps([limits, list(first.values()), list(second.values())]))
"""


@contextlib.asynccontextmanager
async def running(python: Path, folder: Path) -> AsyncIterator[ReadyProcess]:
    """A ready process that copies can be asked of; it and they are ended."""
    process = ReadyProcess(python, {"HOME": str(folder)}, pause=0.01)
    keeping = asyncio.create_task(process.keep())
    try:
        await asyncio.wait_for(process.ready.wait(), PATIENCE)
        yield process
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


@pytest.fixture
def python() -> Path:
    return Path(shared_environments()) / "roman-core" / "bin" / "python"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that the copies can write, whoever they are."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o777)
    return tmp_path


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


class Clusters:
    """What one owner starts, with everything in one log."""

    def __init__(self, ready: ReadyProcess, python: Path, folder: Path) -> None:
        self.ready, self.folder, self.log = ready, folder, folder / "log"
        self.dask = str(python.with_name("dask"))
        root = os.geteuid() == 0
        self.uid, self.gid, self.groups = (65534, 65534, [65533]) if root else (None, -1, [])
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "ONLY": "here"}
        self.environment["DASK_TEMPORARY_DIRECTORY"] = str(folder / "spill")
        self.pids: list[int] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"

    async def start(self, *arguments: str) -> int | None:
        request = Request(
            [self.dask, *arguments], self.environment, str(self.folder), self.uid, self.gid, self.groups
        )
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            pid = await self.ready.start(request, output)
        finally:
            os.close(output)
        if pid is not None:
            self.pids.append(pid)
        return pid

    async def scheduler(self) -> psutil.Process:
        pid = await self.start(
            "scheduler", "--no-dashboard", "--host", "127.0.0.1", "--port", self.address.split(":")[-1]
        )
        assert pid is not None
        await until(lambda: "Scheduler at" in self.log.read_text())
        return psutil.Process(pid)

    async def worker(self, name: str) -> psutil.Process:
        limits = ("--nthreads", "1", "--memory-limit", str(2**30))
        pid = await self.start("worker", self.address, "--no-dashboard", "--name", name, *limits)
        assert pid is not None
        return psutil.Process(pid)

    def end(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
                for process in family:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()


@pytest.fixture
async def clusters(python: Path, folder: Path) -> AsyncIterator[Clusters]:
    async with running(python, folder) as ready:
        made = Clusters(ready, python, folder)
        try:
            yield made
        finally:
            made.end()


async def test_workers_compute_as_their_owner_with_what_is_theirs(clusters: Clusters, python: Path) -> None:
    scheduler = await clusters.scheduler()
    workers = [await clusters.worker("the-first"), await clusters.worker("the-second")]
    look = await asyncio.to_thread(
        subprocess.run,
        [str(python), "-c", LOOK, clusters.address],
        capture_output=True,
        text=True,
        cwd=clusters.folder,
    )
    assert look.returncode == 0, look.stderr + clusters.log.read_text()
    limits, first, second = json.loads(look.stdout)
    assert limits == [2**30, 2**30]
    # No two begin with the same random numbers, and neither does one that a nanny made again.
    everyone = first + second
    assert len({one["numpy"] for one in everyone}) == 4
    assert len({one["random"] for one in everyone}) == 4
    assert len({one["hash"] for one in everyone}) == 1
    for one in everyone:
        assert one["prefix"] == str(python.parents[1])
        assert one["environment"].items() >= clusters.environment.items()
        assert one["environment"]["OMP_NUM_THREADS"] == "1"
        assert set(one["environment"]) - set(clusters.environment) <= {
            *("MALLOC_TRIM_THRESHOLD_", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
            *("PYTHONHASHSEED", "__DASK_PARENT_PID", "LC_CTYPE"),
        }
        assert one["folder"] == str(clusters.folder)
        assert one["main"] is None
        if clusters.uid is not None:
            assert (one["uid"], one["groups"]) == (clusters.uid, clusters.groups)

    # From outside each is told apart by its command, and belongs to its owner, who may look at it.
    assert scheduler.cmdline()[1] == "scheduler"
    for worker, name in zip(workers, ("the-first", "the-second"), strict=True):
        assert worker.cmdline()[:2] == [clusters.dask, "worker"]
        assert worker.cmdline()[worker.cmdline().index("--name") + 1] == name
        assert os.getsid(worker.pid) == worker.pid
        assert worker.cwd() == str(clusters.folder)
        assert Path(f"/proc/{worker.pid}").stat().st_uid == (clusters.uid or os.getuid())

    # A worker without its nanny ends, and nothing that was made for it stays.
    family = workers[0].children(recursive=True)
    assert family
    workers[0].kill()
    await until(lambda: not any(alive(one) for one in [workers[0], *family]))
    workers[1].terminate()
    scheduler.terminate()
    await until(lambda: not any(psutil.pid_exists(one.pid) for one in (workers[1], scheduler)))


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def test_copies_outlive_it_and_it_is_made_again(clusters: Clusters) -> None:
    scheduler = await clusters.scheduler()
    before = clusters.ready.pid
    assert before is not None
    psutil.Process(before).kill()
    await until(lambda: not clusters.ready.ready.is_set())
    # There is no answer at once; the gateway starts a process then.
    assert await clusters.start("scheduler", "--port", "0") is None
    await asyncio.wait_for(clusters.ready.ready.wait(), PATIENCE)
    assert clusters.ready.pid != before
    assert alive(scheduler)


async def test_it_ends_with_the_gateway_and_copies_go_on(python: Path, folder: Path) -> None:
    async with running(python, folder) as ready:
        assert ready.pid is not None
        made = Clusters(ready, python, folder)
        process, scheduler = psutil.Process(ready.pid), await made.scheduler()
    await until(lambda: not alive(process))
    assert alive(scheduler)
    made.end()


async def test_it_is_made_again_when_its_environment_is(folder: Path, python: Path) -> None:
    environment = folder / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(python)
    stamp = environment / ".made-from"
    stamp.write_text("one")
    # Linked rather than made: what is there must still be found.
    (environment / "lib").symlink_to(python.parents[1] / "lib")
    (environment / "pyvenv.cfg").write_text((python.parents[1] / "pyvenv.cfg").read_text())
    async with running(environment / "bin" / "python", folder) as ready:
        made = Clusters(ready, environment / "bin" / "python", folder)
        before = ready.pid
        assert await made.start("scheduler", "--port", "0") is not None
        os.utime(stamp, (1, 1))
        assert await made.start("scheduler", "--port", "0") is None
        await asyncio.wait_for(ready.ready.wait(), PATIENCE)
        assert ready.pid != before
        assert await made.start("scheduler", "--port", "0") is not None
        made.end()


@pytest.mark.parametrize("said", ["logging: {distributed: debug}", "distributed: {comm: {shard: 1MiB}}"])
async def test_what_only_an_import_can_take_is_left_to_a_process_of_its_own(clusters: Clusters, said: str) -> None:
    own = clusters.folder / ".config" / "dask"
    own.mkdir(parents=True, exist_ok=True)
    (own / "settings.yaml").write_text("distributed: {worker: {daemon: false}}")
    assert await clusters.start("scheduler", "--port", "0") is not None
    (own / "settings.yaml").write_text(said)
    assert await clusters.start("scheduler", "--port", "0") is None
    ready = psutil.Process(clusters.ready.pid)
    await until(lambda: [one.pid for one in ready.children()] == clusters.pids)


async def test_what_cannot_become_its_owner_runs_nothing(clusters: Clusters) -> None:
    clusters.folder = clusters.folder / "not there"
    clusters.log = clusters.log.with_name("another")
    assert await clusters.start("scheduler", "--port", "0") is None
    ready = psutil.Process(clusters.ready.pid)
    await until(lambda: not ready.children())
    assert "Scheduler at" not in clusters.log.read_text()
