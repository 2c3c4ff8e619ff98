"""What a tool is installed by: a requirement that is the same thing for everybody, today and in a year."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from pydantic import BaseModel, ConfigDict, Field

from romanhub.community.errors import RefusedError, WrongSidecarError
from romanhub.community.repositories.addresses import check_url

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_HASH = re.compile(r"sha256=([0-9a-f]{64})")
_FILE_PATH = re.compile(r"/[A-Za-z0-9._~/+%-]{1,300}\.whl")

#: A command, or a function of a module.
_COMMAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_FUNCTION = re.compile(rf"{_WORD}(\.{_WORD})*:{_WORD}(\.{_WORD})*")


class Tool(BaseModel):
    """A tool, pinned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requirement: str = Field(description="What pip installs, in its usual writing.")
    name: str = Field(description="The distribution's name; empty where a repository alone is named.")
    version: str | None = Field(default=None, description="Its version, where it is one of PyPI's.")
    repository: str | None = Field(default=None, description="Its Git repository, where it is one.")
    commit: str | None = Field(default=None, description="The commit.")
    hashes: tuple[str, ...] = Field(default=(), description="The SHA-256 of each file that it may be.")
    entry_point: str = Field(default="", description="Where it begins: a command, or `module:function`.")

    @property
    def install(self) -> str:
        """The line that installs it in a notebook."""
        return f'%pip install "{self.requirement}"'

    @property
    def hashed(self) -> str:
        """The line of a file of requirements that has pip insist on the hashes; empty where none are known."""
        if self.version is None or not self.hashes:
            return ""
        return " ".join([self.requirement, *(f"--hash=sha256:{one}" for one in self.hashes)])

    @property
    def use(self) -> str:
        """How it is begun in a notebook."""
        if not self.entry_point:
            return ""
        module, _, function = self.entry_point.partition(":")
        if not function:
            return f"!{self.entry_point} --help"
        first = function.partition(".")[0]
        return f"from {module} import {first}\nhelp({function})"

    def said(self) -> dict[str, Any]:
        """Return its fields of the sidecar in their usual writing."""
        found: dict[str, Any] = {"requirement": self.requirement}
        if self.entry_point:
            found["entry_point"] = self.entry_point
        # A wheel's address has its own.
        if self.hashes and self.version is not None:
            found["hashes"] = list(self.hashes)
        return found


def read_tool(said: Mapping[str, Any]) -> Tool | None:
    """Return what a sidecar says of a tool; None where it names nothing to install yet.

    Raises
    ------
    WrongSidecarError
        Where it is not installable, or would not be the same thing tomorrow; the field's text says why.
    """
    entry_point = str(said.get("entry_point", ""))
    if entry_point and not (_COMMAND.fullmatch(entry_point) or _FUNCTION.fullmatch(entry_point)):
        raise _wrong(
            "entry_point",
            f"'{entry_point[:100]}' is neither a command nor a function: write `photoz-fit`, or "
            "`photoz.fitting:main`.",
        )
    given = str(said.get("requirement", "")).strip()
    if not given:
        return None
    hashes = tuple(sorted({str(one).removeprefix("sha256:") for one in said.get("hashes", ())}))
    if re.match(r"(git\+)?[a-z]+://", given):
        found = _repository("", given.removeprefix("git+"))
    else:
        found = _of_requirement(given)
    if hashes and found.version is None:
        raise _wrong(
            "hashes", "Hashes are of a version on PyPI. A commit and a file's address have theirs in them."
        )
    return found.model_copy(update={"entry_point": entry_point, "hashes": hashes or found.hashes})


def _of_requirement(given: str) -> Tool:
    try:
        found = Requirement(given)
    except InvalidRequirement as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise _wrong("requirement", f"pip could not install '{given[:100]}': {why}. {_HOW}") from None
    if found.marker is not None:
        raise _wrong(
            "requirement", "It has a condition behind a semicolon, and is to be the same everywhere. Leave it out."
        )
    extras = f"[{','.join(sorted(found.extras))}]" if found.extras else ""
    named = f"{found.name}{extras}"
    if found.url is not None:
        if found.url.startswith("git+"):
            return _repository(named, found.url.removeprefix("git+"))
        return _wheel(named, found.url)
    pins = list(found.specifier)
    if len(pins) != 1 or pins[0].operator != "==" or pins[0].version.endswith("*"):
        raise _wrong(
            "requirement",
            f"'{given[:100]}' is not pinned, so it would be something else next year. Write one version: "
            f"{canonicalize_name(found.name)}==1.2.0.",
        )
    return Tool(requirement=f"{named}=={pins[0].version}", name=found.name, version=pins[0].version)


def _repository(named: str, given: str) -> Tool:
    address, _, commit = given.rpartition("@")
    if not address or "/" in commit:
        address, commit = given, ""
    try:
        url = check_url(address)
    except RefusedError as error:
        raise _wrong("requirement", str(error)) from None
    if not _COMMIT.fullmatch(commit):
        raise _wrong(
            "requirement",
            f"A repository is named with a whole commit, so that it stays the same: {url}@ and 40 letters and "
            "digits (`git rev-parse HEAD`). A branch or a tag may move.",
        )
    text = f"git+{url}@{commit}"
    return Tool(
        requirement=f"{named} @ {text}" if named else text,
        name=named.partition("[")[0],
        repository=url,
        commit=commit,
    )


def _wheel(named: str, given: str) -> Tool:
    parts = urlsplit(given)
    hashed = _HASH.fullmatch(parts.fragment)
    try:
        check_url(f"{parts.scheme}://{parts.netloc}/file")
    except RefusedError as error:
        raise _wrong("requirement", str(error).replace("Repositories are", "Tools are")) from None
    if parts.query or not _FILE_PATH.fullmatch(parts.path) or "/../" in parts.path:
        raise _wrong("requirement", f"A file that pip installs for everybody is a wheel, https://….whl. {_HOW}")
    try:
        name, *_ = parse_wheel_filename(parts.path.rpartition("/")[2])
    except InvalidWheelFilename:
        raise _wrong(
            "requirement", "The file is not called as a wheel is: name-version-py3-none-any.whl."
        ) from None
    if canonicalize_name(named.partition("[")[0]) != name:
        raise _wrong("requirement", f"The wheel is of {name}, and not of {named}.")
    if hashed is None:
        raise _wrong(
            "requirement",
            "What is at an address may be replaced. Put the file's checksum behind it: #sha256= and 64 "
            "letters and "
            "digits (`pip hash FILE`).",
        )
    return Tool(requirement=f"{named} @ {given}", name=named.partition("[")[0], hashes=(hashed[1],))


_HOW = (
    "Write `name==1.2.0` for a package of PyPI, `name @ git+https://…@<commit>` for a repository, or "
    "`name @ https://….whl#sha256=…` for a wheel."
)


def _wrong(field: str, text: str) -> WrongSidecarError:
    return WrongSidecarError({field: text})
