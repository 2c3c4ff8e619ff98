"""Data products: their files copied out of scratch, with what each column is, and never changed afterwards."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from romanhub.community.errors import ConflictError, NoSuchEntryError, RefusedError, WrongSidecarError
from romanhub.community.products.choosing import Chosen, check_folder, choose
from romanhub.community.products.scratch import Scratch
from romanhub.community.products.way import Way
from romanhub.community.services.base import Store, existing
from romanhub.community.services.drafting import Drafting
from romanhub.community.services.sidecars import read_sidecar
from romanhub.community.storage import entries
from romanhub.community.storage.bucket import PRODUCTS
from romanhub.models.community import Kind
from romanhub.models.entries import Draft, Version
from romanhub.models.products import (
    OWN_FOLDER,
    Column,
    ColumnTable,
    CopyProgress,
    Manifest,
    Origin,
    ProductFile,
    ProductFormat,
)

#: So many files are handed over at once to the process that looks into them.
_AT_ONCE = 100

#: The author's fields that are looked through for keys.
_WHERE = "what is said of it"


class Products:
    """Keeps drafts of data products, for one catalogue."""

    def __init__(self, store: Store, drafting: Drafting) -> None:
        self._store, self._drafting = store, drafting
        # One at a time: each needs room on the disk for all of its files.
        self._copying = Lock()

    def draft(
        self,
        person: str,
        name: str,
        scratch: Scratch,
        folder: str,
        sidecar: Mapping[str, Any],
        *,
        checksums: Mapping[str, str] | None = None,
        told: Callable[[CopyProgress], object] | None = None,
    ) -> Draft:
        """Copy a folder of somebody's scratch, as a version that is not public yet.

        What breaks off is done again by asking again: the same files become the same objects, and those that are
        there are not brought twice.

        Parameters
        ----------
        person
            Who sends it.
        name
            What the entry is to be called.
        scratch
            Their scratch space, read with keys of their own.
        folder
            Which folder of it; empty for all of it.
        sidecar
            What the author says of it.
        checksums
            The SHA-256 that files are to have, by path; of those that are not named, whatever they have.
        told
            Is told how far the copy is, often, and from the thread of this call.

        Raises
        ------
        RefusedError
            Where it cannot be taken; WrongSidecarError says it by field.
        NotYoursError
            Where the name is somebody else's.
        ConflictError
            Where the entry is withdrawn or of another kind, or there is no room left.
        UnavailableError
            Where the scratch or the bucket does not answer.
        """
        said, missing = read_sidecar(sidecar, Kind.PRODUCT)
        folder, limits = check_folder(folder), self._store.limits
        self._drafting.ensure_free(person, name, Kind.PRODUCT)
        form, chosen = choose(
            scratch.listed(folder), most_files=limits.product_files, most_bytes=limits.product_bytes
        )
        self._ensure_room(person, name, sum(one.size for one in chosen))
        if unknown := sorted((checksums or {}).keys() - {one.path for one in chosen}):
            raise RefusedError(
                f"A checksum was sent of {unknown[0][:100]}, and there is no such file in that folder."
            )
        way = Way(2 * sum(one.size for one in chosen), told)
        with self._copying, tempfile.TemporaryDirectory(prefix="romanhub-product-") as place:
            way.now("fetching")
            files = [(one, Path(place) / str(number)) for number, one in enumerate(chosen)]
            digests = {
                one.path: _fetched(scratch, folder, one, path, (checksums or {}).get(one.path), way.moved)
                for one, path in files
            }
            way.now("reading")
            self._store.inspector.search(
                [
                    (_WHERE, json.dumps(said, ensure_ascii=False, indent=1)),
                    *(
                        (f"the file {one.path}", path.read_text(errors="replace"))
                        for one, path in files
                        if one.kind == "text"
                    ),
                ]
            )
            manifest = _said_too(self._looked_at(form, files, digests), said)
            where = _folder_of(name, manifest)
            way.now("keeping")
            for one, path in files:
                if not self._store.bucket.put_in_folder(f"{where}{one.path}", path, digests[one.path], way.moved):
                    way.moved(one.size)
            return self._keep(person, name, manifest, where, said, missing, {"scratch": folder})

    def say(self, person: str, name: str, sidecar: Mapping[str, Any]) -> Draft:
        """Say something else of a draft, whose files stay as they are; raises what `draft` raises."""
        said, missing = read_sidecar(sidecar, Kind.PRODUCT)
        with self._store.reading() as connection:
            pending = existing(connection, name, person).entry.pending
        if pending is None:
            raise ConflictError(f"The entry '{name}' has no draft any more: it was published or thrown away.")
        manifest = _said_too(self.manifest(pending), said)
        self._store.inspector.search([(_WHERE, json.dumps(said, ensure_ascii=False, indent=1))])
        kept = {key: pending.details[key] for key in ("scratch",) if key in pending.details}
        return self._keep(person, name, manifest, pending.details["folder"], said, missing, kept)

    def manifest(self, version: Version) -> Manifest:
        """Return what a version is made of; raises NoSuchEntryError where it is no product, or is gone."""
        if not version.is_data:
            raise NoSuchEntryError(f"The entry '{version.entry}' is no data product.")
        return Manifest.model_validate_json(self._store.bucket.get(version.digest))

    def _ensure_room(self, person: str, name: str, size: int) -> None:
        """Raise ConflictError where all that somebody keeps would be more than they may keep."""
        with self._store.reading() as connection:
            kept = entries.kept_by(connection, person)
            own = entries.by_name(connection, name)
        # A draft takes the place of the one before.
        kept -= own.entry.pending.size if own is not None and own.entry.pending is not None else 0
        most = self._store.limits.person_bytes
        if kept + size > most:
            raise ConflictError(
                f"Your entries keep {kept / 1e9:.1f} GB of the {most / 1e9:.1f} GB that one person's may "
                f"have, and this "
                f"has {size / 1e9:.1f} GB. Withdraw or discard what nobody needs, or ask the people who run this "
                "platform for more."
            )

    def _looked_at(
        self, form: ProductFormat, files: list[tuple[Chosen, Path]], digests: Mapping[str, str]
    ) -> Manifest:
        tables: dict[ColumnTable, int] = {}
        looked: dict[str, tuple[tuple[int, ...], int | None]] = {}
        with_tables = [(path, one.kind, one.path) for one, path in files if one.kind not in ("text", "hats")]
        for start in range(0, len(with_tables), _AT_ONCE):
            part = with_tables[start : start + _AT_ONCE]
            for (_, _, name), found in zip(part, self._store.inspector.tables(part), strict=True):
                numbers = []
                for one in found:
                    columns = tuple(Column.model_validate(column) for column in one["columns"])
                    table = ColumnTable(place=str(one["place"])[:200], columns=columns)
                    numbers.append(tables.setdefault(table, len(tables)))
                looked[name] = tuple(numbers), int(found[0]["rows"])
        return Manifest(
            format=form,
            files=tuple(
                ProductFile(
                    path=one.path,
                    size=path.stat().st_size,
                    sha256=digests[one.path],
                    tables=looked[one.path][0] if one.path in looked else (),
                    rows=looked[one.path][1] if one.path in looked else None,
                )
                for one, path in files
            ),
            tables=tuple(tables),
        )

    def _keep(
        self,
        person: str,
        name: str,
        manifest: Manifest,
        folder: str,
        said: Mapping[str, Any],
        missing: dict[str, str],
        kept: Mapping[str, Any],
    ) -> Draft:
        content = manifest.model_dump_json(indent=1).encode()
        digest = self._store.bucket.put(content)
        with tempfile.NamedTemporaryFile(prefix="romanhub-manifest-") as file:
            file.write(content)
            file.flush()
            self._store.bucket.put_in_folder(manifest_key(folder, digest), Path(file.name), digest)
        with self._store.reading() as connection:
            before = entries.by_name(connection, name)
        unitless = list(manifest.unitless)
        draft = self._drafting.keep(
            person, name, Kind.PRODUCT, digest=digest, size=manifest.size, sidecar=said,
            missing=missing | lacking(unitless),
            details={
                **kept, "folder": folder, "format": manifest.format, "files": len(manifest.files),
                "rows": sum(one.rows or 0 for one in manifest.files), "unitless": unitless,
            },
            words=_words(manifest),
        )  # fmt: skip
        self._forget(None if before is None else before.entry.pending, folder)
        return draft

    def _forget(self, before: Version | None, folder: str) -> None:
        """Take away what was said of the draft before, where its files are those of this one."""
        if before is None or before.details.get("folder") != folder:
            return
        with self._store.reading() as connection:
            unused = entries.unused(connection, {before.digest})
        for digest in unused:
            self._store.bucket.drop(manifest_key(folder, digest))


def lacking(unitless: list[str]) -> dict[str, str]:
    """Return what has to be said yet of columns whose unit nobody has said."""
    if not unitless:
        return {}
    named = ", ".join(unitless[:12]) + (f" and {len(unitless) - 12} more" if len(unitless) > 12 else "")
    return {"columns": f"The unit of each of these columns, or the word dimensionless: {named}."}


def manifest_key(folder: str, digest: str) -> str:
    """Return the key of a manifest in its product's folder."""
    return f"{folder}{OWN_FOLDER}/{digest}.json"


def _folder_of(name: str, manifest: Manifest) -> str:
    """Return the folder of these files: the same ones have the same."""
    files = [(one.path, one.size, one.sha256) for one in manifest.files]
    return f"{PRODUCTS}{name}/{sha256(json.dumps(files).encode()).hexdigest()}/"


def _fetched(
    scratch: Scratch,
    folder: str,
    one: Chosen,
    path: Path,
    expected: str | None,
    moved: Callable[[int], object],
) -> str:
    """Bring a file onto the disk, and return its checksum."""
    scratch.fetch(folder, one.path, path, moved)
    with path.open("rb") as file:
        hashed = sha256()
        while piece := file.read(1 << 20):
            hashed.update(piece)
    digest = hashed.hexdigest()
    if path.stat().st_size != one.size:
        raise RefusedError(f"{one.path} was written while it was copied. Publish when nothing writes there.")
    if expected is not None and expected.removeprefix("sha256:").lower() != digest:
        raise RefusedError(
            f"{one.path} has the checksum {digest[:16]}…, and not {expected[:16]}… as was said. Write it "
            f"again, or "
            "correct the checksum."
        )
    return digest


def _said_too(manifest: Manifest, said: Mapping[str, Any]) -> Manifest:
    """Return a manifest with what the author says of its columns, and of what it was made of."""
    from romanhub.community.products.tables import usual_unit

    notes = {note["name"]: note for note in said.get("columns", ())}
    known = {column.name for table in manifest.tables for column in table.columns}
    if unknown := sorted(notes.keys() - known):
        raise WrongSidecarError(
            {"columns": f"There is no column '{unknown[0]}'. There are: {', '.join(sorted(known))}."}
        )

    def with_note(column: Column) -> Column:
        # What was said of a draft before is not what its file says.
        own = None if column.said else column.unit
        note = notes.get(column.name, {})
        unit, described = own, note.get("description") or column.description
        if note.get("unit") is not None:
            try:
                unit = usual_unit(note["unit"])
            except ValueError:
                raise WrongSidecarError(
                    {
                        "columns": f"{column.name}: '{note['unit']}' is no unit. Write one such as deg, uJy, mag, "
                        "km / s, or the word dimensionless."
                    }
                ) from None
            if own is not None and own != unit:
                raise WrongSidecarError(
                    {"columns": f"{column.name}: the file says {own or 'dimensionless'}, and not {note['unit']}."}
                )
        return column.model_copy(
            update={"unit": unit, "description": described, "said": own is None and unit is not None}
        )

    return manifest.model_copy(
        update={
            "tables": tuple(
                table.model_copy(update={"columns": tuple(with_note(column) for column in table.columns)})
                for table in manifest.tables
            ),
            "origin": Origin(
                datasets=tuple(said.get("datasets", ())),
                notebook=said.get("notebook"),
                software=tuple(said.get("software", ())),
            ),
        }
    )


def _words(manifest: Manifest) -> str:
    """Return what a search looks through."""
    columns = [column for table in manifest.tables for column in table.columns]
    return "\n".join(
        [
            manifest.format,
            *(f"{one.name} {one.description}" for one in columns),
            *(one.path for one in manifest.files),
        ]
    )[:100_000]
