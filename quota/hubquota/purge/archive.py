"""Archives of a purge: a tar file and a manifest with the SHA-256 of every file, checked before they count.

The manifest is JSON, a line for each entry in the order of the tar file. Names are percent-encoded, because
the name of a file may be any bytes. The ledger keeps the SHA-256 of both files, so neither can be changed
unnoticed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Self, cast
from urllib.parse import quote_from_bytes, unquote_to_bytes

from hubquota.models.purge import DamagedError

EntryType = Literal["file", "folder", "link", "same", "pipe"]

#: Is told of bytes as they are dealt with.
Progress = Callable[[int], None]

_CHUNK = 1 << 20
_KINDS: dict[EntryType, bytes] = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "same": tarfile.LNKTYPE,
    "pipe": tarfile.FIFOTYPE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an archive."""

    #: Below the top of the archive, parts joined by slashes; empty for the top itself.
    path: bytes
    type: EntryType
    size: int = 0
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    #: What a link points to, or the path of an earlier entry that this is the same file as.
    target: bytes = b""
    #: Extended attributes, by name; and what else an adapter wants to have back.
    extra: Mapping[str, bytes] = field(default_factory=dict)
    sha256: str = ""

    def line(self) -> dict[str, Any]:
        """Return it as a line of the manifest."""
        found: dict[str, Any] = {"path": quote_from_bytes(self.path), "type": self.type, "size": self.size}
        found |= {"mode": f"{self.mode:o}", "uid": self.uid, "gid": self.gid, "mtime_ns": self.mtime_ns}
        if self.target:
            found["target"] = quote_from_bytes(self.target)
        if self.extra:
            found["extra"] = {name: base64.b64encode(value).decode() for name, value in self.extra.items()}
        if self.sha256:
            found["sha256"] = self.sha256
        return found

    @classmethod
    def of_line(cls, line: Mapping[str, Any]) -> Self:
        """Return the entry of a line of the manifest."""
        return cls(
            path=unquote_to_bytes(line["path"]),
            type=line["type"],
            size=line["size"],
            mode=int(line["mode"], 8),
            uid=line["uid"],
            gid=line["gid"],
            mtime_ns=line["mtime_ns"],
            target=unquote_to_bytes(line.get("target", "")),
            extra={name: base64.b64decode(value) for name, value in line.get("extra", {}).items()},
            sha256=line.get("sha256", ""),
        )


@dataclass(frozen=True, slots=True)
class Written:
    """An archive that is complete."""

    bytes: int
    #: SHA-256 of the archive and of its manifest.
    digest: str
    manifest_digest: str


class Sink:
    """Takes the entries of an archive that is being written."""

    def __init__(self, tar: tarfile.TarFile, manifest: IO[bytes], progress: Progress) -> None:
        """Write into a tar file and its manifest."""
        self._tar, self._manifest, self._progress = tar, manifest, progress

    def add(self, entry: Entry, content: IO[bytes] | None = None) -> None:
        """Add an entry; of a file, with exactly as many bytes as it says.

        Raises:
            EOFError: there are fewer bytes.
        """
        info = tarfile.TarInfo(_text(entry.path) or ".")
        info.type, info.size, info.mode = _KINDS[entry.type], entry.size, entry.mode
        info.uid, info.gid, info.mtime = entry.uid, entry.gid, entry.mtime_ns // 10**9
        info.linkname = _text(entry.target)
        digest = ""
        if content is None:
            self._tar.addfile(info)
        else:
            reader = _Hashing(content, entry.size, self._progress)
            self._tar.addfile(info, cast("IO[bytes]", reader))
            digest = reader.hash.hexdigest()
        line = entry.line() | ({"sha256": digest} if digest else {})
        self._manifest.write(json.dumps(line).encode() + b"\n")


class Archives:
    """A folder of archives. Each is there as a whole or not at all."""

    def __init__(self, folder: Path | str, *, compress: bool = True) -> None:
        """Keep archives in a folder, which is made if need be and is closed to others."""
        self.folder = Path(folder)
        self._compress = compress

    def path(self, mark: str) -> Path:
        """Return where the archive of a thing is."""
        return self.folder / f"{mark}.tar{'.gz' if self._compress else ''}"

    def manifest_path(self, mark: str) -> Path:
        """Return where the manifest of a thing's archive is."""
        return self.folder / f"{mark}.manifest"

    @contextmanager
    def write(self, mark: str, progress: Progress) -> Iterator[tuple[Sink, list[Written]]]:
        """Yield what takes the entries, and a list that has what was written once it is closed.

        What an earlier attempt left is written over.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        done: list[Written] = []
        unfinished = {kind: self.folder / f".{mark}.{kind}" for kind in ("tar", "manifest")}
        try:
            with _create(unfinished["tar"]) as file, _create(unfinished["manifest"]) as manifest:
                with _packed(file, self._compress) as packed:
                    # Closed only when it is complete: where an error ends it, nothing more is to be written.
                    tar = tarfile.TarFile(
                        fileobj=packed,
                        mode="w",
                        format=tarfile.PAX_FORMAT,
                        encoding="utf-8",
                        errors="surrogateescape",
                    )
                    yield Sink(tar, manifest, progress), done
                    tar.close()
                for one in (file, manifest):
                    one.flush()
                    os.fsync(one.fileno())
            written = Written(
                bytes=unfinished["tar"].stat().st_size,
                digest=_digest(unfinished["tar"]),
                manifest_digest=_digest(unfinished["manifest"]),
            )
            unfinished["manifest"].replace(self.manifest_path(mark))
            unfinished["tar"].replace(self.path(mark))
            _sync(self.folder)
        finally:
            for path in unfinished.values():
                path.unlink(missing_ok=True)
        done.append(written)

    def read(
        self, mark: str, digest: str, manifest_digest: str, progress: Progress
    ) -> Generator[tuple[Entry, IO[bytes] | None], None, None]:
        """Yield each entry of an archive with its content, checked as it is read, and at the end as a whole.

        A file's content has to be read, or it is checked by reading on.

        Raises:
            DamagedError: the archive or its manifest is not the one of these digests, or they do not agree.
            OSError: one of them cannot be read.
        """
        path = next((one for one in (self.path(mark), self._other(mark)) if one.exists()), self.path(mark))
        try:
            if _digest(self.manifest_path(mark)) != manifest_digest:
                raise DamagedError(f"The manifest {self.manifest_path(mark)} is not the one that was written.")
            if _digest(path) != digest:
                raise DamagedError(f"The archive {path} is not the one that was written.")
        except FileNotFoundError as error:
            raise DamagedError(f"The archive of {mark} is not complete: {error.filename} is missing.") from error
        with (
            self.manifest_path(mark).open("rb") as manifest,
            path.open("rb") as file,
            _unpacked(file, path) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|", encoding="utf-8", errors="surrogateescape") as tar,
        ):
            for line in manifest:
                entry = Entry.of_line(json.loads(line))
                info = tar.next()
                if info is None or not _agree(entry, info):
                    raise DamagedError(f"The archive {path} does not agree with its manifest at {entry.path!r}.")
                if entry.type != "file":
                    yield entry, None
                    continue
                content = tar.extractfile(info)
                assert content is not None
                reader = _Hashing(content, entry.size, progress)
                yield entry, cast("IO[bytes]", reader)
                while reader.read(_CHUNK):
                    pass
                if reader.hash.hexdigest() != entry.sha256:
                    raise DamagedError(f"The archive {path} has another content at {entry.path!r}.")
            if tar.next() is not None:
                raise DamagedError(f"The archive {path} has more in it than its manifest.")

    def verify(self, mark: str, digest: str, manifest_digest: str, progress: Progress) -> None:
        """Read an archive as a whole and compare every byte with its manifest.

        Raises:
            DamagedError: something does not agree.
            OSError: it cannot be read.
        """
        try:
            for _ in self.read(mark, digest, manifest_digest, progress):
                pass
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, ValueError, KeyError) as error:
            raise DamagedError(f"The archive of {mark} cannot be read: {error}") from error

    def remove(self, mark: str) -> None:
        """Remove an archive, if there is one."""
        for path in (self.path(mark), self._other(mark), self.manifest_path(mark)):
            path.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            _sync(self.folder)

    def _other(self, mark: str) -> Path:
        # Written before the settings said otherwise about compression.
        return self.folder / f"{mark}.tar{'' if self._compress else '.gz'}"


class _Hashing(io.RawIOBase):
    """Reads so many bytes, and hashes and tells of them."""

    def __init__(self, source: IO[bytes], size: int, progress: Progress) -> None:
        self.hash = hashlib.sha256()
        self._source, self._left, self._progress = source, size, progress

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        parts = []
        while wanted:  # what comes over a network may come in pieces; tarfile asks for whole blocks
            part = self._source.read(wanted)
            if not part:
                raise EOFError(f"{self._left} bytes are missing.")
            parts.append(part)
            wanted -= len(part)
            self._left -= len(part)
        chunk = b"".join(parts)
        self.hash.update(chunk)
        self._progress(len(chunk))
        return chunk


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _agree(entry: Entry, info: tarfile.TarInfo) -> bool:
    name = b"" if info.name == "." else info.name.encode("utf-8", "surrogateescape")
    # tarfile takes slashes off the end of a name, which a key in a bucket may have.
    path = entry.path.rstrip(b"/")
    return (name.rstrip(b"/"), info.type, info.size) == (path, _KINDS[entry.type], entry.size)


def _create(path: Path) -> IO[bytes]:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w+b")


@contextmanager
def _packed(file: IO[bytes], compress: bool) -> Iterator[IO[bytes]]:
    if not compress:
        yield file
        return
    # Neither a name nor a time in it: the same content gives the same archive.
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=4, mtime=0) as packed:
        yield cast("IO[bytes]", packed)


@contextmanager
def _unpacked(file: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".gz":
        yield file
        return
    with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
        yield cast("IO[bytes]", unpacked)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
