"""Processes that may outlive the part that started them, told apart from others of the same number."""

from __future__ import annotations

import psutil

#: Two readings of one process' start differ by less than this, in seconds: it is counted from the time of
#: boot, which moves a little when the clock is set.
SAME_START = 2.0


def birth(pid: int) -> float | None:
    """When a process was made, in seconds since 1970; None where there is none of that number."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, born: float | None) -> bool:
    """Whether the process of this number runs and was made at that time.

    After a reboot, or long after its end, a process' number belongs to another one.

    Parameters
    ----------
    pid
        The number.
    born
        When the process was made, as `birth` said of it; nothing runs that has none.
    """
    if not pid or born is None:
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - born) < SAME_START and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listens(pid: int, port: int) -> bool:
    """Whether the process, or one that it started, accepts connections at the port.

    That something does is not enough: anybody on the machine may have taken the port meanwhile.
    """
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    for process in family:
        try:
            sockets = process.net_connections("tcp")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets):
            return True
    return False
