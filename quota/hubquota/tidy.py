"""Run a program that can read and delete what is in its home, and write nothing there.

A clean-up server is started by it: `python3 -I -c SOURCE jupyterhub-singleuser …`, where SOURCE is the text of
this file, so that the environment of users' servers needs nothing but Python. It uses the standard library alone.

The kernel holds the program and all that it starts to it (Landlock, Linux 5.13 or later): no file is made,
changed, renamed or grown anywhere but in a folder of the server's own outside the home, which its next one
removes; in the home files and folders can be removed. No privilege is needed, none can take the limits off, and a
program that has privileges is held to them, too. Where the kernel cannot do that, nothing is started.
"""

import ctypes
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

#: Landlock's system calls: create_ruleset, add_rule, restrict_self. Nearly every machine has the same numbers.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PR_SET_NO_NEW_PRIVS = 38

# What Landlock tells apart (include/uapi/linux/landlock.h).
_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
_MAKE = sum(1 << bit for bit in range(6, 13))
#: What later versions of it can forbid as well: a rename to another folder, and a change of a file's length.
_LATER = {2: 1 << 13, 3: 1 << 14}

#: What a folder of the server's own is called, after the number of its user.
_PREFIX = "clean-up-{uid}-"

#: Where programs put what they keep for themselves, below that folder; Jupyter's own is its configuration.
_OWN = {
    "TMPDIR": "tmp",
    "JUPYTER_CONFIG_DIR": "jupyter",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
    "XDG_CACHE_HOME": "cache",
    "DASK_TEMPORARY_DIRECTORY": "dask",
}

#: Where Jupyter wants to make checkpoints, even when a file is deleted.
_CHECKPOINTS = "checkpoints"

#: What is deleted is gone, with all that is in it. Hidden files can be deleted, too: a full home is full of them.
_JUPYTER = {
    "ContentsManager": {"allow_hidden": True},
    "FileContentsManager": {"delete_to_trash": False, "always_delete_dir": True},
}


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def hold(home: Path, own: Path) -> None:
    """Hold this process, and all that it will start, to reading and deleting in the home.

    Args:
        home: where files can be deleted.
        own: where anything may be written.

    Raises:
        OSError: the kernel cannot do it.
    """
    version = _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    everything = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE
    everything |= sum(right for since, right in _LATER.items() if version >= since)
    handled = ctypes.c_uint64(everything)
    rules = _call(_CREATE, ctypes.byref(handled), ctypes.c_size_t(8), ctypes.c_uint32(0))
    try:
        allowed = {own: everything, home: _REMOVE_DIR | _REMOVE_FILE}
        # Terminals and shared memory; the kernel says what else there is for whom.
        allowed |= {Path("/dev"): everything, Path("/proc"): _WRITE_FILE}
        for path, rights in allowed.items():
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = _Beneath(rights, folder)
                _call(_ADD, ctypes.c_int(rules), ctypes.c_int(1), ctypes.byref(rule), ctypes.c_uint32(0))
            finally:
                os.close(folder)
        zero = ctypes.c_ulong(0)
        if _libc().prctl(ctypes.c_int(_PR_SET_NO_NEW_PRIVS), ctypes.c_ulong(1), zero, zero, zero):
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        _call(_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def own_folder(home: Path) -> Path:
    """Make the folder of the server's own, outside the home, and remove those of its user's earlier ones.

    Raises:
        OSError: there is no place for it.
    """
    prefix = _PREFIX.format(uid=os.getuid())
    wanted = (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (a new folder with a name of its own)
    places = [place for place in (Path(one).resolve() for one in wanted) if not place.is_relative_to(home)]
    for place in places:
        try:
            for old in place.glob(f"{prefix}*"):
                if old.is_dir() and not old.is_symlink() and old.stat().st_uid == os.getuid():
                    shutil.rmtree(old, ignore_errors=True)
            return Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        except OSError:
            continue
    raise OSError("There is no folder for temporary files outside the home.")


def environment(own: Path) -> dict[str, str]:
    """Make the folders in which programs keep what is theirs, and return the variables that name them.

    Nothing in the home is read as configuration or code: what is wrong in it must not keep its owner out.
    """
    for name in (*_OWN.values(), _CHECKPOINTS):
        (own / name).mkdir(mode=0o700, exist_ok=True)
    jupyter = _JUPYTER | {"FileCheckpoints": {"checkpoint_dir": str(own / _CHECKPOINTS)}}
    (own / _OWN["JUPYTER_CONFIG_DIR"] / "jupyter_server_config.json").write_text(json.dumps(jupyter))
    return {variable: str(own / name) for variable, name in _OWN.items()} | {"PYTHONNOUSERSITE": "1"}


def main(command: list[str]) -> None:
    """Become a program that is held to it.

    Raises:
        SystemExit: it cannot be held to it, or there is no such program.
    """
    home = Path("~").expanduser().resolve()
    try:
        own = own_folder(home)
        os.environ.update(environment(own))
        hold(home, own)
    except OSError as error:
        # Better no clean-up server than one that can write.
        sys.exit(
            f"The clean-up server was not started, because nothing can hold it to reading and deleting: {error}. "
            "It takes Linux 5.13 or later with Landlock, and a container runtime that allows Landlock. The "
            "setting Spawner.quota_clean_up_home says what else there is."
        )
    try:
        os.execvp(command[0], command)  # noqa: S606 (the hub's own command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


if __name__ == "__main__":
    main(sys.argv[1:])
