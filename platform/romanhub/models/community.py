"""What the community's catalogue holds: what an author says of an entry, its states and who may change them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

#: A notebook's file is no larger, in bytes.
LARGEST_NOTEBOOK = 20_000_000

#: What an entry is called in addresses and commands.
ENTRY_NAME = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"

#: What a notebook's file may be called: no folders, nothing hidden, nothing that a shell would take for an option.
FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9 _.,+()-]{0,119}\.ipynb$"

_ORCID = re.compile(r"(?:https://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")


def orcid_of(text: str) -> str:
    """Return an ORCID iD as its sixteen characters, whether it was given as such or as an address.

    Raises
    ------
    ValueError
        Where it is none. The last character is a checksum (ISO 7064, MOD 11-2), which finds any one wrong digit.
    """
    found = _ORCID.fullmatch(text.strip())
    if found is None:
        raise ValueError("an ORCID iD looks like 0000-0002-1825-0097")
    digits = found[1].replace("-", "")
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    if "0123456789X"[(12 - total % 11) % 11] != digits[-1]:
        raise ValueError(f"{found[1]} is no ORCID iD: its last character does not fit the others")
    return found[1]


def _one_line(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("it has characters that are no text")
    return text


def _prose(text: str) -> str:
    if any((ord(letter) < 32 and letter not in "\n\t") or ord(letter) == 127 for letter in text):
        raise ValueError("it has characters that are no text")
    return text


_Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_line)
]
_Tag = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[a-z0-9][a-z0-9 .+-]{0,39}$")]
_Requirement = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), AfterValidator(_one_line)
]
_Hash = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^(sha256:)?[0-9a-f]{64}$")
]
_Dataset = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")]


class Author(BaseModel):
    """Somebody who made an entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Line = Field(description="The name, as it is to be cited.")
    orcid: Annotated[str, AfterValidator(orcid_of)] | None = Field(default=None, description="The ORCID iD.")


class Parameter(BaseModel):
    """A value at the top of a notebook that another reader would change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,79}$", description="The variable's name.")
    about: str = Field(default="", max_length=300, description="What it is, with its unit.")


class ColumnNote(BaseModel):
    """What a file does not say of one of its columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Line = Field(description="The column's name.")
    unit: Annotated[str, StringConstraints(strip_whitespace=True, max_length=80)] | None = Field(
        default=None, description="Its unit, such as deg or uJy; `dimensionless` where it has none."
    )
    description: str = Field(default="", max_length=500, description="What it is.")


class Sidecar(BaseModel):
    """What an author says of an entry, which travels with each of its versions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: _Line = Field(description="The title.")
    abstract: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=20, max_length=4000), AfterValidator(_prose)
    ] = Field(description="What it does and for whom, in a few sentences.")
    authors: tuple[Author, ...] = Field(min_length=1, max_length=200, description="Who made it.")
    licence: str = Field(min_length=1, max_length=120, description="The licence, as an SPDX expression.")
    tags: tuple[_Tag, ...] = Field(default=(), max_length=12, description="What people would look for.")
    citation: str | None = Field(
        default=None, max_length=2000, description="What to cite besides it, such as a paper's DOI."
    )
    image: _Line | None = Field(default=None, description="The environment that it ran in.")
    tier: _Line | None = Field(default=None, description="The smallest tier that it needs.")
    datasets: tuple[_Dataset, ...] = Field(default=(), max_length=50, description="Data sets, by name.")
    parameters: tuple[Parameter, ...] = Field(default=(), max_length=50, description="What one would change.")
    columns: tuple[ColumnNote, ...] = Field(
        default=(), max_length=1000, description="Of a product: units and meanings that its files do not say."
    )
    notebook: str | None = Field(
        default=None,
        pattern=rf"{ENTRY_NAME[:-1]}(@[1-9][0-9]{{0,8}})?$",
        max_length=110,
        description="Of a product: the entry of the notebook that made it, with its version: photo-z-run@3.",
    )
    software: tuple[_Line, ...] = Field(
        default=(), max_length=50, description="Of a product: the software that made it, with versions."
    )
    requirement: _Requirement | None = Field(
        default=None,
        description="Of a tool: what pip installs, pinned: `name==1.2.0`, `name @ git+https://…@<commit>` or "
        "`name @ https://….whl#sha256=…`.",
    )
    entry_point: _Line | None = Field(
        default=None, description="Of a tool: where it begins, a command or `module:function`."
    )
    hashes: tuple[_Hash, ...] = Field(
        default=(), max_length=20, description="Of a tool: the SHA-256 of each file that its version may be."
    )

    @model_validator(mode="before")
    @classmethod
    def _in_order(cls, given: Any) -> Any:
        """Take each tag and data set once, in the order of the alphabet."""
        if not isinstance(given, dict):
            return given
        lists = {
            name: sorted({one.strip() if isinstance(one, str) else one for one in given[name]}, key=str)
            for name in ("tags", "datasets")
            if isinstance(given.get(name), list | tuple)
        }
        return {**given, **lists}


#: What the sidecar has to say before an entry can be shown; people are asked for these.
NEEDED = ("title", "abstract", "authors", "licence")


class Kind(StrEnum):
    """What an entry is."""

    NOTEBOOK = "notebook"
    TOOL = "tool"
    PRODUCT = "product"


#: Which fields of the sidecar are of one kind of entry alone.
OF_KIND = {
    "columns": Kind.PRODUCT,
    "notebook": Kind.PRODUCT,
    "software": Kind.PRODUCT,
    "requirement": Kind.TOOL,
    "entry_point": Kind.TOOL,
    "hashes": Kind.TOOL,
    "parameters": Kind.NOTEBOOK,
}


def needed(kind: Kind) -> tuple[str, ...]:
    """Return what has to be said of an entry of a kind before it can be shown."""
    return (*NEEDED, "requirement", "entry_point") if kind is Kind.TOOL else NEEDED


class State(StrEnum):
    """Where an entry stands."""

    DRAFT = "draft"
    PUBLIC = "public"
    REVIEWED = "reviewed"
    DEPRECATED = "deprecated"
    WITHDRAWN = "withdrawn"


class Act(StrEnum):
    """What can be done with an entry."""

    PUBLISH = "publish"
    DISCARD = "discard"
    REVIEW = "review"
    UNREVIEW = "unreview"
    DEPRECATE = "deprecate"
    RESTORE = "restore"
    WITHDRAW = "withdraw"


class Role(StrEnum):
    """Who somebody is to an entry."""

    AUTHOR = "author"
    CURATOR = "curator"


@dataclass(frozen=True)
class Move:
    """One way from a state to another."""

    act: Act
    #: From which states.
    of: frozenset[State]
    #: To which state; None keeps it.
    to: State | None
    by: frozenset[Role]
    #: Whether it needs a reason, which readers see.
    reasoned: bool
    #: What it does, as the documentation and the pages say it.
    text: str


_SHOWN = frozenset({State.PUBLIC, State.REVIEWED})
_BOTH = frozenset({Role.AUTHOR, Role.CURATOR})
_AUTHOR, _CURATOR = frozenset({Role.AUTHOR}), frozenset({Role.CURATOR})

#: Every move there is. Pages offer what this table has, and `docs/community.md` renders it.
MOVES = (
    Move(
        Act.PUBLISH,
        frozenset({State.DRAFT, State.PUBLIC, State.REVIEWED, State.DEPRECATED}),
        State.PUBLIC,
        _AUTHOR,
        False,
        "Shows the draft, or a new version, to everybody. A review is of the version before, so it ends.",
    ),
    Move(
        Act.DISCARD,
        frozenset({State.DRAFT, State.PUBLIC, State.REVIEWED, State.DEPRECATED}),
        None,
        _AUTHOR,
        False,
        "Throws away what is not public yet.",
    ),
    Move(
        Act.REVIEW,
        frozenset({State.PUBLIC}),
        State.REVIEWED,
        _CURATOR,
        False,
        "A curator has read the newest version and recommends it.",
    ),
    Move(Act.UNREVIEW, frozenset({State.REVIEWED}), State.PUBLIC, _CURATOR, True, "Takes the review back."),
    Move(
        Act.DEPRECATE,
        _SHOWN,
        State.DEPRECATED,
        _BOTH,
        True,
        "Says that there is something better. It can be opened, and is found by those who ask for it.",
    ),
    Move(Act.RESTORE, frozenset({State.DEPRECATED}), State.PUBLIC, _BOTH, False, "Takes that back."),
    Move(
        Act.WITHDRAW,
        _SHOWN | {State.DEPRECATED},
        State.WITHDRAWN,
        _BOTH,
        True,
        "Takes it away for good. Title, authors and the reason stay, so that citations lead somewhere.",
    ),
)


def moves_for(state: State, roles: frozenset[Role], *, pending: bool) -> tuple[Move, ...]:
    """Return what somebody may do with an entry.

    Parameters
    ----------
    state
        Where it stands.
    roles
        Who they are to it.
    pending
        Whether there is a version that is not public yet.
    """
    return tuple(
        move
        for move in MOVES
        if state in move.of and roles & move.by and (pending or move.act not in (Act.PUBLISH, Act.DISCARD))
    )


def states_table() -> str:
    """Return the moves as a table in Markdown, for the documentation."""
    lines = ["| Act | From | To | By | What it does |", "| --- | --- | --- | --- | --- |"]
    for move in MOVES:
        states = ", ".join(state for state in State if state in move.of)
        people = " or ".join(role for role in Role if role in move.by)
        reason = " Needs a reason." if move.reasoned else ""
        lines.append(f"| {move.act} | {states} | {move.to or 'as it was'} | {people} | {move.text}{reason} |")
    return "\n".join(lines)


class Provenance(BaseModel):
    """What a copy remembers of where it comes from: the key `romanhub` of the notebook's metadata."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    entry: str = Field(pattern=ENTRY_NAME, max_length=100, description="The entry's name.")
    version: int = Field(ge=1, description="The version that was copied.")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="The SHA-256 of that version's file.")
