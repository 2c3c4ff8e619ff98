"""Runs of notebooks without a person: what a run is, what its server is told, and what it says at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

#: What the server of a run is called at the hub: `run-` and the run's number. No other server has such a name.
RUN_SERVER = re.compile(r"run-([1-9][0-9]{0,17})")

#: The account that runs what is shared. Nobody can sign in as it.
COMMUNITY_ROBOT = "community-robot"

#: An error is told in so many characters at most.
LONGEST_ERROR = 300

#: A notebook's path in a home: no step upwards, nothing hidden, no backslash.
NOTEBOOK_PATH = r"^(?:[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*/)*[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*\.ipynb$"

#: A long word that mixes letters and digits: what a key looks like, and no name that a person gave to something.
_KEY = re.compile(r"(?=[A-Za-z_+=~-]*[0-9])(?=[0-9_+=~-]*[A-Za-z])[A-Za-z0-9_+=~-]{20,}")

#: A traceback is coloured for a terminal.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Purpose(StrEnum):
    """Why a notebook is run."""

    REGULAR = "regular"
    IMAGE = "image"
    OWN = "own"


class Outcome(StrEnum):
    """How a run ended."""

    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    LOST = "lost"
    CANCELLED = "cancelled"


def server_of(run: int) -> str:
    """Return what the server of a run is called at the hub."""
    return f"run-{run}"


def run_of(server: str) -> int | None:
    """Return the number of the run whose server has this name; None where it is no run's."""
    found = RUN_SERVER.fullmatch(server)
    return int(found[1]) if found else None


def short(text: str) -> str:
    """Return what went wrong in one line that everybody may read: without colours, without keys, not long."""
    line = " ".join(_COLOUR.sub("", text).split())
    line = _KEY.sub("…", "".join(letter for letter in line if letter.isprintable()))
    return line if len(line) <= LONGEST_ERROR else f"{line[: LONGEST_ERROR - 1]}…"


class Task(BaseModel):
    """What the server of a run is to do."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int = Field(description="The run's number.")
    purpose: Purpose = Field(description="Why it is run.")
    notebook: str = Field(pattern=NOTEBOOK_PATH, description="The notebook's path in the home.")
    seconds: int = Field(gt=0, description="How long all of its cells may take, in seconds.")
    output_bytes: int = Field(gt=0, description="How much they may write, in bytes.")
    content: str | None = Field(
        default=None, description="The notebook, where it is to be put there first; none where it is there."
    )


class Report(BaseModel):
    """What the server of a run says at the end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passed: bool = Field(description="Whether every cell ran without an error.")
    failed_cell: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Which code cell failed, from 1; none where it was none of them.",
    )
    error: Annotated[str, AfterValidator(short)] | None = Field(
        default=None, max_length=20_000, description="How, in one line; it is cut, and keys are taken out of it."
    )
    seconds: float = Field(ge=0, le=10_000_000, description="How long its cells took, in seconds.")
    peak_bytes: int | None = Field(
        default=None,
        ge=0,
        lt=2**60,
        description="The most memory that the kernel and its processes had, in bytes.",
    )
    image_digest: str | None = Field(
        default=None, max_length=200, description="The identity of the environment that it ran in."
    )
    result: str | None = Field(
        default=None, max_length=500, description="Where the notebook with its outputs is in the home."
    )


class OwnRun(BaseModel):
    """A notebook of one's own that runs later, as its owner reads of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int = Field(description="The run's number.")
    notebook: str = Field(description="The notebook's path in the home.")
    state: str = Field(description="Queued, running, or how it ended.")
    queued_at: AwareDatetime = Field(description="When it was asked for.")
    not_before: AwareDatetime = Field(description="When it may start.")
    started_at: AwareDatetime | None = Field(default=None, description="When it started.")
    ended_at: AwareDatetime | None = Field(default=None, description="When it ended.")
    failed_cell: int | None = Field(default=None, description="Which code cell failed, from 1.")
    error: str | None = Field(default=None, description="Why it failed or was refused.")
    seconds: float | None = Field(default=None, description="How long its cells took, in seconds.")
    credits: str | None = Field(default=None, description="What it cost, in credits.")
    result: str | None = Field(default=None, description="Where the notebook with its outputs is in the home.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A notebook that is to be run, runs, or ran."""

    id: int
    #: The entry's number; None where it is somebody's own notebook.
    entry_id: int | None
    version: int | None
    purpose: Purpose
    #: Whose server runs it: the robot's, or its owner's.
    person: str
    #: The notebook's path in the home.
    notebook: str
    #: The image's name; empty for the one that everybody has.
    image: str
    image_digest: str | None
    queued_at: datetime
    not_before: datetime
    started_at: datetime | None
    ended_at: datetime | None
    outcome: Outcome | None
    failed_cell: int | None
    error: str | None
    seconds: float | None
    peak_bytes: int | None
    #: Units of the ledger.
    credits: int | None
    #: The number of the server's lease, once it ran.
    lease: int | None
    #: The server's name while there is, or may be, one at the hub.
    server: str | None
    #: Who pays for it and in which size; None for what a start without these words means.
    account: str | None
    size: str | None
    #: Where the notebook with its outputs is.
    result: str | None
    #: How often it was taken from the queue.
    tries: int

    @property
    def state(self) -> str:
        """Where it stands, in one word."""
        if self.outcome is not None:
            return self.outcome.value
        return "queued" if self.started_at is None else "running"
