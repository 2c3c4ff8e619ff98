"""The control plane of a test: one of this machine's own, or that of the cluster which KUBECONFIG names."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import httpx

from tests.cluster import given, programs
from tests.cluster.control_plane import ControlPlane
from tests.support.platform import shared_environments


class Plane(Protocol):
    """What tests need of a control plane."""

    #: The address at which pods reach this machine.
    address: str
    #: An administrator's way in.
    kubeconfig: Path

    def api(self) -> httpx.Client:
        """An administrator's client of the API server."""

    def account(self, namespace: str, name: str) -> Path:
        """Let somebody in as an account of a namespace; returns the file that does."""

    def tidied(self) -> AbstractContextManager[None]:
        """Remove in the end what was made meanwhile, where somebody would find it."""


@contextmanager
def a_plane() -> Iterator[Plane]:
    """A control plane for some tests: their own, without a node, or the given cluster's, which is tidied after."""
    folder = Path(tempfile.mkdtemp(prefix="rk-", dir="/var/tmp"))
    try:
        if given.is_given():
            found = given.GivenPlane(folder)
            with found.tidied():
                yield found
            return
        own = ControlPlane(programs.ensure(Path(shared_environments())), folder)
        try:
            own.start()
            yield own
        finally:
            own.processes.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
