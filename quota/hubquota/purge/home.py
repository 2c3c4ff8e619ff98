"""Home folders of users, on a file system of this machine.

The quarantine is a folder on the same file system, so that a home goes there and back in one atomic step,
whatever is in it. It is run as root, or as the one owner of every home.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hubquota.models.ledger import AccountKind
from hubquota.models.purge import PurgeError, Seen, Thing, TouchedError
from hubquota.purge import tree
from hubquota.purge.adapter import Entries, import_string
from hubquota.purge.archive import Progress, Sink

#: The name of the quarantine where the settings name none.
_QUARANTINE = ".purge-quarantine"

_OCCUPIED = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


class Options(BaseModel):
    """The adapter's keys in the settings file."""

    model_config = ConfigDict(extra="forbid")

    homes: Path = Field(description="The folder that holds the home folders.")
    quarantine: Path | None = Field(
        default=None,
        description="A folder on the same file system that only the purge may enter; one in `homes` if not given.",
    )
    folder_of: str | None = Field(
        default=None,
        description="module:function that returns the name of an account's home folder; the account's own name if "
        "not given.",
    )


def make(**options: Any) -> HomeFolders:
    """Return the adapter for some options."""
    checked = Options.model_validate(options)
    naming = None if checked.folder_of is None else import_string(checked.folder_of)
    return HomeFolders(checked.homes, checked.quarantine, naming)


class HomeFolders:
    """Takes home folders away, and brings them back."""

    last = False

    def __init__(
        self, homes: Path, quarantine: Path | None = None, folder_of: Callable[[str], str] | None = None
    ) -> None:
        """Use the homes in a folder; see `Options`."""
        self._homes = homes.resolve()
        self._quarantine = quarantine.resolve() if quarantine else self._homes / _QUARANTINE
        self._folder_of = folder_of or str

    def find(self, account: str, kind: AccountKind) -> Iterable[str]:
        """Yield the name of the account's home folder, if it has one. Projects have none."""
        if kind != "user":
            return
        name = self._folder_of(account)
        if name in ("", ".", "..", _QUARANTINE) or "/" in name or "\0" in name:
            raise PurgeError(f"'{name}' cannot be the name of {account}'s home folder.")
        if self._homes / name == self._quarantine:
            raise PurgeError(f"{account}'s home folder would be the quarantine.")
        if os.path.lexists(self._homes / name):
            yield name

    def look(self, thing: Thing) -> Seen | None:
        """Return what a home looks like; None where there is none."""
        with tree.opened(self._homes) as homes:
            return _look(homes, thing.name)

    def archive(self, thing: Thing, sink: Sink) -> None:
        """Write a home into an archive."""
        with tree.opened(self._homes) as homes, tree.opened(thing.name, folder=homes) as top:
            tree.pack(top, sink)

    def quarantine(self, thing: Thing, fingerprint: str) -> str:
        """Rename a home into the quarantine; look at it once more there, where its owner cannot go."""
        with tree.opened(self._homes) as homes, self._aside() as aside:
            if not _exists(aside, thing.mark):
                seen = _look(homes, thing.name)
                if seen is None or seen.fingerprint != fingerprint:
                    raise TouchedError(f"{thing.name} has changed since the plan was made")
                try:
                    os.rename(thing.name, thing.mark, src_dir_fd=homes, dst_dir_fd=aside)
                except OSError as error:
                    if error.errno not in (errno.EXDEV, errno.EBUSY):
                        raise
                    raise PurgeError(
                        f"{self._homes / thing.name} and the quarantine {self._quarantine} are not on one file "
                        "system. Name a quarantine that is."
                    ) from error
                os.fsync(aside)
                os.fsync(homes)
            # Whoever had a file of it open may have written up to now.
            now = _look(aside, thing.mark)
            if now is None or now.fingerprint != fingerprint:
                self._put(aside, thing.mark, thing)
                raise TouchedError(f"{thing.name} has changed while it was moved aside")
            return now.fingerprint

    def look_aside(self, thing: Thing) -> str | None:
        """Return the fingerprint of a home in the quarantine; None where it is not there."""
        with self._aside() as aside:
            seen = _look(aside, thing.mark)
        return None if seen is None else seen.fingerprint

    def give_back(self, thing: Thing) -> str | None:
        """Rename a home back, or where its owner has a new one by now, into a folder of that."""
        with self._aside() as aside:
            return self._put(aside, thing.mark, thing) if _exists(aside, thing.mark) else None

    def delete(self, thing: Thing, progress: Progress) -> None:
        """Delete a home in the quarantine."""
        with self._aside() as aside:
            _remove(aside, thing.mark, progress)

    def restore(self, thing: Thing, entries: Entries) -> str:
        """Rebuild a home in the quarantine, and rename it to where it belongs once it is complete."""
        ready, unfinished = f"{thing.mark}.ready", f"{thing.mark}.new"
        with self._aside() as aside:
            # Without it an earlier attempt may have stopped in the middle; with it, all is there.
            if not _exists(aside, ready):
                _remove(aside, unfinished, _nobody)
                os.mkdir(unfinished, 0o700, dir_fd=aside)
                with tree.opened(unfinished, folder=aside) as top:
                    tree.unpack(top, entries)
                os.close(os.open(ready, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=aside))
            if _exists(aside, unfinished):
                return self._put(aside, unfinished, thing)
        return str(self._homes / thing.name)

    def finish(self, thing: Thing) -> None:
        """Clear away what an interrupted deletion left in the quarantine, and the note of a restoration."""
        with self._aside() as aside:
            _remove(aside, thing.mark, _nobody)
            if _exists(aside, f"{thing.mark}.ready"):
                os.unlink(f"{thing.mark}.ready", dir_fd=aside)

    @contextmanager
    def _aside(self) -> Iterator[int]:
        self._quarantine.mkdir(mode=0o700, exist_ok=True)
        with tree.opened(self._quarantine) as aside:
            status = os.fstat(aside)
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise PurgeError(
                    f"The quarantine {self._quarantine} is open to others. It has to belong to whoever runs the "
                    "purge, with the rights 0700."
                )
            yield aside

    def _put(self, aside: int, source: str, thing: Thing) -> str:
        """Rename a folder in the quarantine to where a home belongs; never over anything."""
        with tree.opened(self._homes) as homes:
            if _rename(source, aside, thing.name, homes):
                return str(self._homes / thing.name)
            try:
                with tree.opened(thing.name, folder=homes) as home:
                    for number in count(1):
                        name = f"restored-{thing.mark}" + (f"-{number}" if number > 1 else "")
                        if _rename(source, aside, name, home):
                            return str(self._homes / thing.name / name)
            except NotADirectoryError as error:
                raise PurgeError(
                    f"{self._homes / thing.name} is no folder. Move it away, so that the home can come back."
                ) from error
        raise AssertionError  # the loop above has no other end


def _rename(source: str, aside: int, target: str, folder: int) -> bool:
    """Rename a folder unless there is something of that name; an empty folder counts as nothing."""
    try:
        os.rename(source, target, src_dir_fd=aside, dst_dir_fd=folder)
    except OSError as error:
        if error.errno in _OCCUPIED:
            return False
        raise
    return True


def _look(folder: int, name: str) -> Seen | None:
    try:
        with tree.opened(name, folder=folder) as top:
            return tree.look(top)
    except FileNotFoundError:
        if _exists(folder, name):
            raise TouchedError(f"{name} has changed while it was read") from None
        return None


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove(folder: int, name: str, progress: Progress) -> None:
    if not _exists(folder, name):
        return
    with tree.opened(name, folder=folder) as top:
        tree.delete(top, progress)
    os.rmdir(name, dir_fd=folder)


def _nobody(_bytes: int) -> None:
    """Tell nobody of progress."""
