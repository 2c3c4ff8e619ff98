"""Where the search service's store is, and which one is current.

A store is one DuckDB file with a name of its own, and is never changed once it is whole. `current.json` names the
one to use, so that a new one takes effect between two queries, and no query sees half of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Current(BaseModel):
    """What `current.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field(pattern=r"^store-[0-9a-f]+\.duckdb$", description="The file's name, beside this one.")
    fingerprint: str = Field(description="What the store was built from, as a digest.")
    made: str = Field(description="When it was built, ISO 8601, UTC.")


@dataclass(frozen=True)
class Place:
    """The folder of stores."""

    root: Path

    @property
    def pointer(self) -> Path:
        """The file that names the current store."""
        return self.root / "current.json"

    @property
    def footprints(self) -> Path:
        """The Parquet index of footprints."""
        return self.root / "footprints.parquet"

    @property
    def coverage(self) -> Path:
        """The folder of MOCs, of each data set and of each of its filters."""
        return self.root / "moc"

    def current(self) -> Current | None:
        """Return what is current; None where nothing was ever built."""
        try:
            return Current.model_validate_json(self.pointer.read_bytes())
        except FileNotFoundError:
            return None

    def switch(self, current: Current) -> None:
        """Make another store the current one, and remove those before the last."""
        before = self.current()
        new = self.pointer.with_suffix(".new")
        new.write_text(current.model_dump_json(indent=2) + "\n")
        new.replace(self.pointer)
        kept = {current.store, before.store if before else ""}
        for path in self.root.glob("store-*.duckdb*"):
            if path.name not in kept:
                path.unlink(missing_ok=True)
