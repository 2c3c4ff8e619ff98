"""Has what people share looked into by a process with limits, few at once."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from romanhub.community.comparing import CellChange
from romanhub.community.errors import RefusedError, UnavailableError
from romanhub.models.community import Provenance

log = logging.getLogger(__name__)

#: How long one look may take, in seconds; how many go on at once; and how large an answer may be, in bytes.
SECONDS, AT_ONCE, LARGEST_ANSWER = 120.0, 2, 100_000_000


class Inspected(BaseModel):
    """What there is to know of a notebook that was not refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: str = Field(description="The notebook as a page that runs and loads nothing.")
    words: str = Field(description="What a search looks through.")
    picture: bytes = Field(description="A PNG file for its card; empty where it shows no figure.")
    cells: int = Field(description="How many cells it has.")
    source: Provenance | None = Field(
        default=None, description="What it says it is a copy of; nobody has checked that."
    )


class Inspector:
    """Looks into notebooks. Nothing of what they hold is read in the process that has this."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        """Give each look so much time.

        Args:
            seconds: how long one look may take.
        """
        self._seconds = seconds
        self._turn = BoundedSemaphore(AT_ONCE)

    def inspect(self, file: bytes, title: str) -> Inspected:
        """Return what is in a notebook's file.

        Raises
        ------
        RefusedError
            Where it is no notebook, or must not be shared; the message says why.
        UnavailableError
            Where it could not be looked into.
        """
        found = self._ask({"task": "inspect", "title": title}, [file])
        picture = base64.b64decode(found.pop("picture"))
        return Inspected.model_validate({**found, "picture": picture})

    def compare(self, older: bytes, newer: bytes) -> tuple[CellChange, ...]:
        """Return what changed from one version to another; raises what `inspect` raises."""
        found = self._ask({"task": "compare"}, [older, newer])
        return tuple(CellChange.model_validate(one) for one in found["changes"])

    def search(self, texts: Sequence[tuple[str, str]]) -> None:
        """Look for keys in texts, each with where it is; raises RefusedError where there are any."""
        self._ask({"task": "texts"}, [json.dumps(list(texts)).encode()])

    def tables(self, files: Sequence[tuple[Path, str, str]]) -> list[list[dict[str, Any]]]:
        """Return what tables files have, as `products.tables.tables_of` does; raises what `inspect` raises.

        Parameters
        ----------
        files
            Each as where it is, its kind, and what it is called.
        """
        with ExitStack() as stack:
            opened = [stack.enter_context(path.open("rb")) for path, _, _ in files]
            asked = [
                {"descriptor": file.fileno(), "kind": kind, "path": name}
                for file, (_, kind, name) in zip(opened, files, strict=True)
            ]
            # It is nobody, and may read what it was handed and nothing else.
            found = self._ask({"task": "tables", "files": asked}, [], [file.fileno() for file in opened])
        tables: list[list[dict[str, Any]]] = found["tables"]
        return tables

    def _ask(self, request: dict[str, Any], files: list[bytes], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        sent = json.dumps({**request, "sizes": [len(file) for file in files]}).encode() + b"\n" + b"".join(files)
        # Nothing of this process's environment, which has keys, goes to the one that reads what people sent.
        environment = {
            "PYTHONPATH": ":".join(path for path in sys.path if path),
            "PATH": "/usr/bin:/bin",
            "HOME": "/",
        }
        with self._turn:
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "romanhub.community.worker"],
                    input=sent,
                    env=environment,
                    cwd="/",
                    capture_output=True,
                    timeout=self._seconds,
                    check=False,
                    pass_fds=descriptors,
                )
            except subprocess.TimeoutExpired:
                raise _too_much() from None
            except OSError as error:
                raise UnavailableError("Notebooks cannot be looked into just now.") from error
        if done.returncode < 0:
            # A limit has ended it, and limits are for what notebooks ask of it.
            log.warning("A notebook's inspection was ended by signal %s.", -done.returncode)
            raise _too_much()
        try:
            if done.returncode or len(done.stdout) > LARGEST_ANSWER:
                raise ValueError(f"status {done.returncode}, {len(done.stdout)} bytes")
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            log.error("A notebook could not be looked into: %s\n%s", error, done.stderr.decode(errors="replace"))
            raise UnavailableError(
                "The notebook could not be looked into. Tell the people who run this."
            ) from error
        if "refused" in answer:
            raise RefusedError(answer["refused"])
        if "failed" in answer:
            log.error("A notebook could not be looked into: %s", answer["failed"])
            raise UnavailableError("The notebook could not be looked into just now. Try again in a minute.")
        return answer


def _too_much() -> RefusedError:
    return RefusedError(
        "It takes too much time or memory to be looked into. Of a notebook, clear the largest outputs, and "
        "try again."
    )
