"""Remove a platform from this machine. Standard library alone, so that it needs no room and no network."""

from __future__ import annotations

import shutil

from romanhub.local.environments import SetupError
from romanhub.local.layout import State
from romanhub.local.lock import alone
from romanhub.local.system_users import SystemUsers, can_separate, end_processes


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
            end_processes(uid)
        gone = users.remove_all()
        shutil.rmtree(state.root)
    also = f" and {len(gone)} system users" if gone else ""
    return f"Removed {state.root}{also}."
