"""Which system user the processes of a platform user run as on one machine, and where their home is.

Started as root, the platform gives each of its users a system user, so that homes, kernels and Dask workers
are private to their owner. The names are the platform's own: a person who signs in as `postgres` never gets
the system's `postgres`. Started by an ordinary user, everything runs as that one user.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from romanhub.local.environments import SetupError

#: How long processes that were killed may take to be gone, in seconds.
PATIENCE = 10.0


@dataclass(frozen=True)
class SystemUser:
    """The identity that a platform user's processes run under."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class SystemUsers:
    """The system users of one platform.

    Parameters
    ----------
    homes
        The folder that holds the home folders; it also tells two platforms on one machine apart.
    separate
        Whether each platform user has a system user, which needs root.
    """

    homes: Path
    separate: bool

    def home(self, user: str) -> Path:
        """The home folder of a platform user. The name is made safe as a folder's."""
        return self.homes / home_folder(user)

    def system_name(self, user: str) -> str:
        """The name of the system user, at most 32 characters, different for each user and platform."""
        readable = re.sub(r"[^a-z0-9]", "", user.lower())[:12] or "user"
        return f"{self._prefix()}{readable}-{hashlib.sha256(user.encode()).hexdigest()[:8]}"

    def ensure(self, user: str, *, welcome: Path) -> SystemUser | None:
        """Make the user's system user and home where they are not there yet.

        Parameters
        ----------
        user
            The platform user.
        welcome
            A folder whose files a new home starts with. What is in a home already is never overwritten.

        Returns
        -------
        SystemUser or None
            None where everything runs as one system user.

        Raises
        ------
        subprocess.CalledProcessError
            Where the system refuses the new user.
        """
        home = self.home(user)
        system = self._ensure_system_user(user, home) if self.separate else None
        if not home.exists():
            # Filled beside it and moved into place, so that an interrupted start leaves no half-filled home.
            fresh = home.with_name(f".new-{home.name}")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(welcome, fresh, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
            fresh.chmod(0o700)
            if system:
                for path in [fresh, *fresh.rglob("*")]:
                    os.chown(path, system.uid, system.gid)
            fresh.rename(home)
        return system

    def discard(self, user: str) -> None:
        """Remove a user's home for good, and their system user with everything that runs as it.

        Raises
        ------
        SetupError
            Where the system keeps the system user.
        """
        name = self.system_name(user)
        if self.separate:
            with suppress(KeyError):
                end_processes(pwd.getpwnam(name).pw_uid)
        shutil.rmtree(self.home(user), ignore_errors=True)
        if any(entry.pw_name == name for entry in self._entries()):
            _remove(name)

    def lookup(self, user: str) -> SystemUser | None:
        """The user's system user, or None where everything runs as one.

        Raises
        ------
        KeyError
            Where the user has never started a server here and so has no system user.
        """
        if not self.separate:
            return None
        entry = pwd.getpwnam(self.system_name(user))
        return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)

    def uids(self) -> list[int]:
        """The numbers of the system users that this platform made."""
        return [entry.pw_uid for entry in self._entries()]

    def remove_all(self) -> list[str]:
        """Remove every system user that this platform made; returns their names.

        Raises
        ------
        SetupError
            Where the system keeps one.
        """
        names = [entry.pw_name for entry in self._entries()]
        for name in names:
            _remove(name)
        return names

    def _entries(self) -> list[pwd.struct_passwd]:
        if not self.separate:
            return []
        return [entry for entry in pwd.getpwall() if entry.pw_name.startswith(self._prefix())]

    def _prefix(self) -> str:
        return f"rh{hashlib.sha256(str(self.homes).encode()).hexdigest()[:6]}-"

    def _ensure_system_user(self, user: str, home: Path) -> SystemUser:
        name = self.system_name(user)
        try:
            pwd.getpwnam(name)
        except KeyError:
            command = ["useradd", "--no-create-home", "--home-dir", str(home), "--user-group"]
            subprocess.run([*command, "--shell", "/bin/bash", name], check=True, capture_output=True)
        entry = pwd.getpwnam(name)
        return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def become(system: SystemUser | None, folder: Path) -> Callable[[], None]:
    """What a new process runs before its program starts: take the identity on, and enter the folder.

    Any failure ends the process before it runs as somebody else.
    """
    groups = os.getgrouplist(system.name, system.gid) if system else []

    def preexec() -> None:
        if system:
            os.setgid(system.gid)
            os.setgroups(groups)
            os.setuid(system.uid)
        os.chdir(folder)

    return preexec


def _remove(name: str) -> None:
    result = subprocess.run(["userdel", name], capture_output=True, text=True)
    if result.returncode:
        raise SetupError(f"The system user {name} cannot be removed: {result.stderr.strip()}")


def end_processes(uid: int) -> None:
    """End what runs as a user, such as a server that outlived a crash of everything else.

    Raises
    ------
    SetupError
        Where something does not end.
    """
    deadline = time.monotonic() + PATIENCE
    while left := _processes(uid):
        if time.monotonic() > deadline:
            raise SetupError(f"Processes of a system user do not end: {left}. End them, then try again.")
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
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


def can_separate() -> bool:
    """Whether this process may give each user a system user: root on Linux, with `useradd` at hand."""
    return os.geteuid() == 0 and sys.platform == "linux" and shutil.which("useradd") is not None


def home_folder(user: str) -> str:
    """A folder name for any user name, the name itself where it is a plain one."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", user):
        return user
    readable = re.sub(r"[^a-z0-9_-]", "_", user.lower())[:30]
    return f"{readable}+{hashlib.sha256(user.encode()).hexdigest()[:8]}"
