"""Remove a platform from this machine. Standard library alone, so that it needs no room and no network."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from romanhub.local.environments import SetupError
from romanhub.local.layout import State
from romanhub.local.lock import alone
from romanhub.local.system_users import SystemUsers, can_separate

#: How long processes that were killed may take to be gone, in seconds.
PATIENCE = 10.0


def clean(state: State) -> str:
    """Remove the folder of state with everything in it, and the system users that were made for it.

    Returns
    -------
    str
        What was done, in a line.

    Raises
    ------
    SetupError
        Where the folder is not one of state, the platform runs, or a system user cannot be removed.
    """
    if not state.root.exists():
        return f"Nothing to remove: {state.root} is not there."
    if not state.mark.exists():
        raise SetupError(f"{state.root} is not a folder of state of this platform, so it is left alone.")
    with alone(state):
        users = SystemUsers(state.homes, separate=can_separate())
        for uid in users.uids():
            _end_processes(uid)
        gone = users.remove_all()
        shutil.rmtree(state.root)
    also = f" and {len(gone)} system users" if gone else ""
    return f"Removed {state.root}{also}."


def _end_processes(uid: int) -> None:
    """End what still runs as a user, such as a server that outlived a crash of everything else."""
    deadline = time.monotonic() + PATIENCE
    while left := _processes(uid):
        if time.monotonic() > deadline:
            raise SetupError(f"Processes of a system user do not end: {left}. End them, then try again.")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def _processes(uid: int) -> list[int]:
    """The processes of a user that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == uid and "\nState:\tZ" not in (folder / "status").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
