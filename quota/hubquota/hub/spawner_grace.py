"""The part of the spawner's mixin that keeps the home as it is in grace: a clean-up server writes nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitlets import Enum, Unicode, default

from hubquota import tidy
from hubquota.hub.spawner_base import QuotaBase
from hubquota.models.ledger import Refused

log = logging.getLogger(__name__)

#: What people can do in a clean-up server, by the setting.
CAN_DO = {
    "delete-only": "In a clean-up server you can read, download and delete files. Nothing is saved or changed.",
    "read-only": "In a clean-up server you can read and download files. Nothing is saved, changed or deleted.",
    "writable": "",
}

#: Where Jupyter keeps what is its own when the home is mounted read-only: in the container, which goes with it.
_IN_CONTAINER = {
    variable: f"/tmp/clean-up/{folder}"  # noqa: S108 (the container's own)
    for variable, folder in {
        "JUPYTER_CONFIG_DIR": "jupyter",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "XDG_CACHE_HOME": "cache",
    }.items()
}


class QuotaGrace(QuotaBase):
    """What a clean-up server can do with the home."""

    # JupyterHub's `Spawner` and KubeSpawner have these.
    cmd: Any
    environment: Any
    volume_mounts: Any

    quota_clean_up_home = Enum(
        ["delete-only", "read-only", "writable"],
        help="What a clean-up server can do with the home. 'delete-only': read and delete, and write nothing, to "
        "which the kernel holds it (Landlock; Linux 5.13 or later); it needs `cmd`, before which it puts Python. "
        "'read-only', for KubeSpawner: the volumes are mounted read-only, so nothing can be deleted either. "
        "'writable': as any other server. Unless set, it is 'delete-only', and for a KubeSpawner that leaves the "
        "command to the image, 'read-only'.",
        config=True,
    )
    quota_clean_up_python = Unicode(
        "python3",
        help="The Python, 3.9 or later, that a clean-up server is started by where it can only read and delete.",
        config=True,
    )

    #: The spawner's own settings of what was changed for a clean-up server.
    _plain: Mapping[str, Any] = {}

    @default("quota_clean_up_home")
    def _default_quota_clean_up_home(self) -> str:
        return "read-only" if self._has_volumes() and not self.cmd else "delete-only"

    def apply_clean_up(self, clean_up: bool) -> None:
        """Keep a clean-up server from writing into the home; leave any other one as it is configured.

        Raises:
            Refused: it is a clean-up server, and this spawner cannot keep it from writing.
        """
        if not clean_up or self.quota_clean_up_home == "writable":
            return
        if self.quota_clean_up_home == "delete-only" and self.cmd:
            python = [self.quota_clean_up_python, "-I", "-c", Path(tidy.__file__).read_text()]
            self._set(cmd=[*python, *self.cmd])
        elif self.quota_clean_up_home == "read-only" and self._has_volumes():
            self._set(
                volume_mounts=_read_only(self.volume_mounts), environment={**self.environment, **_IN_CONTAINER}
            )
        else:
            log.error(
                "A clean-up server was refused: this spawner cannot keep it from writing. Set "
                "Spawner.quota_clean_up_home, and Spawner.cmd for 'delete-only'."
            )
            raise Refused(
                limit="grace",
                message="Your files are kept as they are, and this hub has no way to start a server that leaves "
                f"them so. Whoever runs it finds the reason in its log. {self._tiers().ask}",
            )

    def forget_clean_up(self) -> None:
        """Take back what was changed for a clean-up server: the same spawner starts its owner's next server."""
        for name, value in self._plain.items():
            setattr(self, name, value)
        self._plain = {}

    def _has_volumes(self) -> bool:
        return self.has_trait("volume_mounts")

    def _set(self, **values: Any) -> None:
        self.forget_clean_up()
        self._plain = {name: getattr(self, name) for name in values}
        for name, value in values.items():
            setattr(self, name, value)


def _read_only(mounts: Any) -> Any:
    """Return KubeSpawner's mounts, which are a list or a mapping of them, as read-only ones."""
    if isinstance(mounts, Mapping):
        return {name: {**mount, "readOnly": True} for name, mount in mounts.items()}
    return [{**mount, "readOnly": True} for mount in mounts]
