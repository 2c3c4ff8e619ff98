"""A catalogue for tests: on a real database, with files in memory and a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.community.errors import NoSuchEntryError, RefusedError
from romanhub.community.inspector import Inspected, Inspector
from romanhub.community.limits import USUAL, Limits
from romanhub.community.products.tables import tables_of
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.storage.tables import MIGRATIONS
from romanhub.models.community import Provenance
from sqlalchemy import Engine

from tests.platform.community.hostile import code, markdown, notebook

ABSTRACT = "Measures how deep a stack of exposures is, in every filter."


class MemoryFiles:
    """A bucket in memory: the S3 server's own tests are in test_bucket.py."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.pages: dict[str, str] = {}
        #: The files of products by key, and how often one was brought.
        self.products: dict[str, bytes] = {}
        self.brought = 0

    def put(self, content: bytes) -> str:
        digest = sha256(content).hexdigest()
        self.files[digest] = content
        return digest

    def get(self, digest: str) -> bytes:
        if digest not in self.files:
            raise NoSuchEntryError("There is no such file.")
        return self.files[digest]

    def has(self, digest: str) -> bool:
        return digest in self.files

    def drop(self, digest: str) -> None:
        self.files.pop(digest, None)
        self.pages.pop(digest, None)
        self.products = {key: one for key, one in self.products.items() if not key.startswith(digest)}

    def put_in_folder(
        self, key: str, path: Path, digest: str, moved: Callable[[int], object] | None = None
    ) -> bool:
        if key in self.products:
            return False
        self.products[key] = path.read_bytes()
        if moved is not None:
            moved(path.stat().st_size)
        self.brought += 1
        return True

    def put_page(self, digest: str, page: str) -> None:
        self.pages[digest] = page

    def get_page(self, digest: str) -> str | None:
        return self.pages.get(digest)


class QuickInspector(Inspector):
    """Looks at sources alone, in this process, where a test is about something else than what a notebook holds.

    The real one starts a process for each notebook, which takes seconds; test_notebooks.py and test_hostile.py
    are about it, and some tests here use it.
    """

    looks = 0

    def inspect(self, file: bytes, title: str) -> Inspected:
        self.looks += 1
        try:
            found = json.loads(file)
            words = "\n".join(cell["source"] for cell in found["cells"])
            source = found["metadata"].get("romanhub")
        except (ValueError, KeyError, TypeError):
            raise RefusedError("This file is not a notebook.") from None
        return Inspected(
            page=f"<title>{title}</title><p>{words}",
            words=words,
            picture=b"",
            cells=len(found["cells"]),
            source=None if source is None else Provenance.model_validate(source),
        )

    def search(self, texts: Sequence[tuple[str, str]]) -> None:
        if any("AKIA" in text for _, text in texts):
            raise RefusedError("There are keys or tokens in what was sent.")

    def tables(self, files: Sequence[tuple[Path, str, str]]) -> list[list[dict[str, Any]]]:
        self.looks += 1
        found = []
        for path, kind, name in files:
            with path.open("rb") as one:
                try:
                    found.append(tables_of(one, kind))
                except RefusedError as refusal:
                    raise RefusedError(f"{name}: {refusal}") from None
        return found


@dataclass
class Shelf:
    """A catalogue and what it stands on."""

    engine: Engine
    bucket: MemoryFiles = field(default_factory=MemoryFiles)
    inspector: Inspector = field(default_factory=QuickInspector)
    now: datetime = datetime(2027, 3, 1, 12, tzinfo=UTC)
    limits: Limits = USUAL

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.engine, self.bucket, self.inspector, lambda: self.now, self.limits)

    def wait(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)

    def publish(self, person: str, name: str, source: str = "print(1)", **more: Any) -> None:
        """Publish a version of a notebook."""
        self.catalogue.draft(person, name, file(source), sidecar(title=name.replace("-", " ").title()) | more)
        self.catalogue.publish(person, name)


def full_shelf(folder: Path) -> Shelf:
    """A catalogue on SQLite in a folder, with public entries of Ada's, Bob's and Edwin's."""
    engine = make_engine(f"sqlite:///{folder}/community.sqlite")
    migrate(engine, MIGRATIONS)
    shelf = Shelf(engine)
    for person in ("ada", "bob", "edwin"):
        shelf.publish(person, person, "print(2)", title=f"An entry of {person}'s")
    return shelf


def sidecar(**more: Any) -> dict[str, Any]:
    """What an author says of an entry, complete."""
    return {"title": "Depth", "abstract": ABSTRACT, "authors": [{"name": "Ada"}], "licence": "MIT"} | more


def file(source: str, *, of: dict[str, Any] | None = None) -> bytes:
    """A notebook's file; one that remembers what it is a copy of, where that is given."""
    found = notebook(markdown("# A notebook"), code(source))
    if of is not None:
        found["metadata"]["romanhub"] = of
    return json.dumps(found).encode()
