"""Walking, deleting and rebuilding a tree of files without ever leaving it.

Everything goes by open folders (`dir_fd`) and never follows a link, so that nobody who may write in the tree
can point the work at something else. Names are bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from hubquota.models.purge import DamagedError, Seen, TouchedError
from hubquota.purge.archive import Entry, Progress, Sink

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: Folders inside each other. Each takes an open file, of which a process may have a thousand.
DEEPEST = 400

#: What a message calls a kind of file that cannot be archived.
_OTHERS = {stat.S_IFSOCK: "socket", stat.S_IFBLK: "block device", stat.S_IFCHR: "character device"}


@dataclass(frozen=True, slots=True)
class Node:
    """Something in a tree."""

    #: Below the top, parts joined by slashes; empty for the top itself.
    path: bytes
    #: Its name in the folder that is open as `folder`; the top has neither.
    name: bytes
    folder: int
    status: os.stat_result
    #: Whether everything in it has been walked. A folder comes twice, before and after what is in it.
    after: bool = False

    @property
    def mode(self) -> int:
        """What kind of file it is."""
        return stat.S_IFMT(self.status.st_mode)


@contextmanager
def opened(path: Path | str | bytes, *, folder: int | None = None) -> Iterator[int]:
    """Open a folder that is no link.

    Raises:
        OSError: it is not there, is a link or no folder, or may not be read.
    """
    number = os.open(path, _FOLDER, dir_fd=folder)
    try:
        yield number
    finally:
        os.close(number)


def walk(top: int) -> Iterator[Node]:
    """Yield everything in an open folder, in the order of the names, folders before and after what is in them.

    Raises:
        TouchedError: another file system is mounted in it, or it is deeper than `DEEPEST`.
        OSError: a folder may not be read, or has gone in the meantime.
    """
    status = os.fstat(top)
    yield Node(b"", b"", top, status)
    yield from _walk(top, b"", status.st_dev, 0)
    yield Node(b"", b"", top, status, after=True)


def _walk(folder: int, path: bytes, device: int, depth: int) -> Iterator[Node]:
    if depth > DEEPEST:
        raise TouchedError(f"it has more than {DEEPEST} folders inside each other")
    for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        below = path + b"/" + name if path else name
        if status.st_dev != device:
            raise TouchedError(f"another file system is mounted in it at {_shown(below)}")
        yield Node(below, name, folder, status)
        if stat.S_ISDIR(status.st_mode):
            with opened(name, folder=folder) as inner:
                if not os.path.samestat(os.fstat(inner), status):
                    raise TouchedError(f"{_shown(below)} has changed while it was read")
                yield from _walk(inner, below, device, depth + 1)
            yield Node(below, name, folder, status, after=True)


def look(top: int) -> Seen:
    """Return what a tree looks like. What was moved as a whole looks the same.

    The fingerprint is over names, kinds, sizes, owners, rights, times of content and, except for the top, times
    of any change: whoever sets the time of a file back has touched it all the same.
    """
    digest, size, files, newest = hashlib.sha256(), 0, 0, 0
    for node in walk(top):
        if node.after:
            continue
        status = node.status
        facts = [status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns]
        if node.path:
            # Moving the top changes the time of its change, and no other.
            facts += [status.st_ctime_ns, status.st_ino]
        if node.mode != stat.S_IFDIR:
            size, files = size + status.st_size, files + 1
            facts.append(status.st_size)
        newest = max(newest, status.st_mtime_ns)
        digest.update(repr((node.path, facts)).encode())
        if node.mode == stat.S_IFLNK:
            digest.update(os.readlink(node.name, dir_fd=node.folder))
    return Seen(size, files, datetime.fromtimestamp(newest // 10**9, UTC), digest.hexdigest())


def pack(top: int, sink: Sink) -> None:
    """Write a tree into an archive.

    Raises:
        TouchedError: it changes meanwhile, or has something in it that is no file, folder, link or pipe.
    """
    first: dict[tuple[int, int], bytes] = {}
    for node in walk(top):
        if node.after or node.mode == stat.S_IFSOCK:  # nothing but the process that listened can use a socket
            continue
        facts: dict[str, Any] = {
            "path": node.path,
            "mode": stat.S_IMODE(node.status.st_mode),
            "uid": node.status.st_uid,
            "gid": node.status.st_gid,
            "mtime_ns": node.status.st_mtime_ns,
        }
        if node.mode == stat.S_IFDIR:
            with opened(node.name or b".", folder=node.folder) as folder:
                sink.add(Entry(type="folder", extra=_attributes(folder), **facts))
        elif node.mode == stat.S_IFLNK:
            target = os.readlink(node.name, dir_fd=node.folder)
            sink.add(Entry(type="link", target=target, **facts))
        elif node.mode == stat.S_IFIFO:
            sink.add(Entry(type="pipe", **facts))
        elif node.mode == stat.S_IFREG:
            known = (node.status.st_dev, node.status.st_ino)
            if node.status.st_nlink > 1 and known in first:
                sink.add(Entry(type="same", target=first[known], **facts))
                continue
            first[known] = node.path
            _pack_file(node, sink, facts)
        else:
            kind = _OTHERS.get(node.mode, "special file")
            raise TouchedError(f"it has a {kind} in it, {_shown(node.path)}, which an archive cannot keep")


def _pack_file(node: Node, sink: Sink, facts: dict[str, Any]) -> None:
    number = os.open(node.name, _FILE, dir_fd=node.folder)
    with os.fdopen(number, "rb", buffering=0) as file:
        if not os.path.samestat(os.fstat(number), node.status):
            raise TouchedError(f"{_shown(node.path)} has changed while it was read")
        try:
            entry = Entry(type="file", size=node.status.st_size, extra=_attributes(number), **facts)
            sink.add(entry, file)
        except EOFError as error:
            raise TouchedError(f"{_shown(node.path)} has changed while it was read") from error


def delete(top: int, progress: Progress) -> None:
    """Delete everything in an open folder. What has gone already is passed over."""
    for node in _deletable(top):
        if not node.path:
            continue
        try:
            if node.mode == stat.S_IFDIR:
                if node.after:
                    os.rmdir(node.name, dir_fd=node.folder)
            else:
                os.unlink(node.name, dir_fd=node.folder)
                progress(node.status.st_size)
        except FileNotFoundError:
            continue


def _deletable(top: int) -> Iterator[Node]:
    for node in walk(top):
        # Root needs no rights; an owner gives them to themselves first.
        if node.mode == stat.S_IFDIR and node.path and not node.after and os.geteuid() != 0:
            os.chmod(node.name, 0o700, dir_fd=node.folder)
        yield node


def unpack(top: int, entries: Iterator[tuple[Entry, IO[bytes] | None]]) -> None:
    """Rebuild a tree from its archive in an open and empty folder that nobody else may write in.

    Raises:
        DamagedError: an entry points out of the tree.
        OSError: something cannot be made, such as for want of room.
    """
    folders: list[Entry] = []
    for entry, content in entries:
        if not entry.path:
            folders.append(entry)
            continue
        with _parent(top, entry.path) as (folder, name):
            if entry.type == "folder":
                os.mkdir(name, 0o700, dir_fd=folder)
                folders.append(entry)
            elif entry.type == "link":
                os.symlink(entry.target, name, dir_fd=folder)
                _own(entry, name, folder)
                os.utime(name, ns=(entry.mtime_ns,) * 2, dir_fd=folder, follow_symlinks=False)
            elif entry.type == "same":
                with _parent(top, entry.target) as (other, earlier):
                    os.link(earlier, name, src_dir_fd=other, dst_dir_fd=folder, follow_symlinks=False)
            elif entry.type == "pipe":
                os.mkfifo(name, 0o600, dir_fd=folder)
                _own(entry, name, folder)
                os.chmod(name, entry.mode, dir_fd=folder)
                os.utime(name, ns=(entry.mtime_ns,) * 2, dir_fd=folder)
            else:
                assert content is not None
                _unpack_file(entry, content, name, folder)
    for entry in reversed(folders):  # filling a folder changes its time, so the inner ones come first
        with _folder_of(top, entry.path) as folder:
            _finish(entry, folder)


def _unpack_file(entry: Entry, content: IO[bytes], name: bytes, folder: int) -> None:
    number = os.open(name, _NEW, 0o600, dir_fd=folder)
    with os.fdopen(number, "wb") as file:
        while chunk := content.read(1 << 20):
            file.write(chunk)
        file.flush()
        _finish(entry, number)


def _finish(entry: Entry, number: int) -> None:
    """Give an open file or folder its owner, rights, attributes and time, in the order that keeps them."""
    if os.geteuid() == 0:
        os.fchown(number, entry.uid, entry.gid)
    os.fchmod(number, entry.mode)
    for name, value in entry.extra.items():
        # Another file system may not know them; the content matters more.
        with suppress(OSError):
            os.setxattr(number, name, value)
    os.utime(number, ns=(entry.mtime_ns,) * 2)


def _own(entry: Entry, name: bytes, folder: int) -> None:
    if os.geteuid() == 0:
        os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)


@contextmanager
def _folder_of(top: int, path: bytes) -> Iterator[int]:
    number = os.dup(top)
    try:
        for part in path.split(b"/") if path else []:
            if part in (b"", b".", b".."):
                raise DamagedError(f"The archive has an entry that points out of it: {_shown(path)}.")
            inner = os.open(part, _FOLDER, dir_fd=number)
            os.close(number)
            number = inner
        yield number
    finally:
        os.close(number)


@contextmanager
def _parent(top: int, path: bytes) -> Iterator[tuple[int, bytes]]:
    before, _, name = path.rpartition(b"/")
    if name in (b"", b".", b"..") or path.startswith(b"/"):
        raise DamagedError(f"The archive has an entry that points out of it: {_shown(path)}.")
    with _folder_of(top, before) as folder:
        yield folder, name


def _attributes(number: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(number, name) for name in os.listxattr(number)}
    except OSError:  # a file system without them
        return {}


def _shown(path: bytes) -> str:
    return ascii(path.decode("utf-8", "backslashreplace"))[1:-1]
