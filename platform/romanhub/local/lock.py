"""One platform at a time in one folder of state. Standard library alone, for `make clean`."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from romanhub.local.environments import SetupError
from romanhub.local.layout import State

#: How long a new run waits for the one before it to end, in seconds.
LOCK_PATIENCE = 20.0


@contextmanager
def alone(state: State) -> Iterator[int]:
    """Hold the folder of state, so that two platforms never share one.

    The lock passes to every part: after a crash it is free only once the last of them has ended.
    """
    descriptor = os.open(state.lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode().strip()
            os.lseek(descriptor, 0, os.SEEK_SET)
            if (holder and Path(f"/proc/{holder}").exists()) or time.monotonic() > deadline:
                raise SetupError(
                    f"The platform already runs from {state.root} (process {holder or 'unknown'}). "
                    "End it with Ctrl-C first, or set ROMANHUB_STATE and ROMANHUB_PORT for a second one."
                ) from None
            time.sleep(0.2)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    try:
        yield descriptor
    finally:
        os.close(descriptor)
