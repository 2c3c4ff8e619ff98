"""What the platform on a cluster needs outside of it: databases, storage with the sample archive, and volumes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from romanhub.local import parts, sample_archive, secrets
from romanhub.local.layout import State
from romanhub.local.ports import Ports
from romanhub.local.settings import Settings

from tests.quota.support import Postgres, eventually
from tests.support.ports import free_port


@contextmanager
def forwarded(address: str, target: int | Path) -> Iterator[int]:
    """Pass what comes to a free port of an address on to a port of loopback or a socket; yields the free port."""
    loop = asyncio.new_event_loop()
    listening = socket.create_server((address, 0))

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await (
                asyncio.open_unix_connection(target)
                if isinstance(target, Path)
                else asyncio.open_connection("127.0.0.1", target)
            )
        except OSError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, inner_writer), pass_on(inner_reader, writer))

    async def listen() -> None:
        await asyncio.start_server(taken, sock=listening)

    loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


#: What has a database of its own.
PARTS = ("ledger", "hub", "community")


@dataclass(frozen=True)
class Surroundings:
    """What the platform needs outside of the cluster, by the addresses at which pods reach it."""

    #: The URL of each database, by whose it is.
    databases: dict[str, str]
    #: The storage's address.
    storage: str
    #: The keys for the storage, each as a Secret with its values.
    keys: dict[str, dict[str, str]]


@contextmanager
def surroundings(address: str, postgres: Postgres, folder: Path) -> Iterator[Surroundings]:
    """Empty databases, and storage with the sample archive, at an address."""
    with (
        storage(folder) as settings,
        forwarded(address, settings.ports.archive) as port,
        forwarded(address, Path(postgres.folder, ".s.PGSQL.5432")) as database,
    ):
        for name in PARTS:
            postgres.new_database(name)
        secrets = settings.secrets
        yield Surroundings(
            databases={
                name: f"postgresql+psycopg://{postgres.user}@{address}:{database}/{name}" for name in PARTS
            },
            storage=f"http://{address}:{port}",
            keys={
                "romanhub-storage": {"access-key": "broker", "secret-key": secrets.archive_broker},
                "romanhub-community": {"access-key": "community", "secret-key": secrets.archive_community},
                "archive-index": {
                    "AWS_ACCESS_KEY_ID": "operator",
                    "AWS_SECRET_ACCESS_KEY": secrets.archive_operator,
                },
            },
        )


@contextmanager
def storage(folder: Path) -> Iterator[Settings]:
    """The S3 server of one machine's platform, with the sample archive in it, on loopback."""
    state = State(folder / "storage")
    state.make()
    ports = Ports(**{name: free_port() for name in Ports.model_fields})
    settings = Settings(state, ports, secrets.make(state.private / "secrets.json"))
    part = parts.archive(settings)
    with (folder / "storage.log").open("wb") as log:
        process = subprocess.Popen(
            part.command, env={**os.environ, **part.environment}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: _listens(ports.archive), "a storage server that listens", within=120)
        sample_archive.publish(sample_archive.SMALL, sample_archive.connect(settings), progress=_say_nothing)
        yield settings
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _say_nothing(_done: int, _total: int) -> None:
    """Tell nobody of the progress."""


def volumes(folder: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """A StorageClass, the cluster's default, with a folder of the node for each volume, of so many GiB.

    They stand in for a provisioner of volumes, which cannot be had here. Nothing holds a folder to its size.
    """
    kind = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "folders",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
    }
    found: list[dict[str, Any]] = [kind]
    for number, size in enumerate(sizes):
        place = folder / f"volume-{number}"
        place.mkdir(parents=True)
        os.chown(place, 1000, 1000)
        found.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"folder-{number}"},
                "spec": {
                    "capacity": {"storage": f"{size}Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "folders",
                    "hostPath": {"path": str(place), "type": "Directory"},
                },
            }
        )
    return found
