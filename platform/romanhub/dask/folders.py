"""Dask Gateway's local clusters as their owner's system user, each in a folder that the owner cannot misuse."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from dask_gateway_server.backends.local import LocalBackend

from romanhub.dask.tokens import VARIABLE, ClusterTokens, keep_token, kept_token
from romanhub.local.system_users import SystemUsers, become

#: The folder of a cluster that its owner may write.
WORK = "work"


class OwnFolders(LocalBackend):  # type: ignore[misc]
    """Runs a cluster's processes as its owner, in a folder of the cluster's own."""

    #: Who is which system user; set up before the first cluster.
    _users: SystemUsers

    async def do_start_cluster(self, cluster: Any) -> AsyncIterator[dict[str, Any]]:
        """Start a cluster's scheduler; before anything runs, its folder has a token for the broker."""
        async for state in super().do_start_cluster(cluster):
            if "pid" not in state and (tokens := ClusterTokens.from_environment()) is not None:
                keep_token(state["workdir"], await tokens.make(cluster.username, cluster.name))
            yield state

    def cleanup_working_directory(self, workdir: str) -> None:
        """Have the hub forget the cluster's token, and remove the cluster's folder."""
        token, tokens = kept_token(workdir), ClusterTokens.from_environment()
        if token is not None and tokens is not None:
            self.task_pool.spawn(tokens.take_back(token))
        super().cleanup_working_directory(workdir)

    def make_preexec_fn(self, cluster: Any) -> Callable[[], None]:
        """Run the cluster's processes as its owner's system user, in the one folder that is theirs."""
        return become(self._users.lookup(cluster.username), Path(cluster.state["workdir"]) / WORK)

    def setup_working_directory(self, cluster: Any) -> str:
        """Make the cluster's folder, with its credentials and a folder to work in.

        The gateway goes on writing here as root, so the owner may change nothing but the folder to work in:
        a link put in the place of another would have root write where it points.
        """
        system = self._users.lookup(cluster.username)
        group = system.gid if system else -1
        workdir = Path(self.clusters_directory) / cluster.name
        certificates = Path(self.get_certs_directory(str(workdir)))
        for folder, mode in ((workdir, 0o750), (certificates, 0o750)):
            folder.mkdir(0o700)
            os.chown(folder, -1, group)
            folder.chmod(mode)
        Path(self.get_logs_directory(str(workdir))).mkdir(0o700)
        certificate, key = self._get_tls_paths(str(workdir))
        for path, content in ((certificate, cluster.tls_cert), (key, cluster.tls_key)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            with os.fdopen(descriptor, "wb") as file:
                os.fchown(descriptor, -1, group)
                file.write(content)
        work = workdir / WORK
        work.mkdir(0o700)
        if system:
            os.chown(work, system.uid, system.gid, follow_symlinks=False)
        return str(workdir)

    def get_env(self, cluster: Any) -> dict[str, str]:
        """The environment of a cluster's process: its owner's home, as a notebook has it."""
        env: dict[str, str] = super().get_env(cluster)
        system = self._users.lookup(cluster.username)
        env["HOME"] = str(self._users.home(cluster.username))
        env["USER"] = system.name if system else cluster.username
        if (token := kept_token(cluster.state["workdir"])) is not None:
            env[VARIABLE] = token.value
        # What does not fit into memory is not for a folder that everybody can write.
        env["DASK_TEMPORARY_DIRECTORY"] = str(Path(cluster.state["workdir"]) / WORK)
        return env
