"""Sharing notebooks with the community, and finding what others share.

    from romanhub import community

    community.publish("survey.ipynb", title="Depth of the survey", ...)
    community.search("photometry")
    community.copy("survey")

What is sent is a draft, which its owner alone sees. It is made public on the portal's page, by a person: no code
that runs in a server can do it.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin

from pydantic import BaseModel, ConfigDict, Field

from romanhub.client.connection import Portal
from romanhub.client.contributing import Contribution, body_of, is_contribution, name_for, read_contribution
from romanhub.client.copybar import CopyBar
from romanhub.client.errors import CommunityRefusedError, RomanHubError
from romanhub.client.notebookfile import NotebookFile, read_notebook_file, write_copy, write_sidecar
from romanhub.client.sidecars import SidecarError, checked, entry_name
from romanhub.models.community import Provenance, orcid_of

#: How long the portal may take to look into a notebook, in seconds.
LOOKING = 150.0

#: How long it may take to read a repository, in seconds.
READING = 400.0

#: Where the catalogue is in the portal's API, and where its pages are.
API, PAGES = "api/v1/community", "community"

#: The variable with the hub's address as browsers know it, where it differs from the one that servers use.
PUBLIC_VARIABLE = "JUPYTERHUB_PUBLIC_HUB_URL"


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Version(_Said):
    number: int
    digest: str
    sidecar: dict[str, Any]


class Entry(_Said):
    """An entry of the catalogue."""

    name: str = Field(description="What it is called in addresses and commands.")
    kind: str = Field(description="What it is.")
    state: str = Field(description="Where it stands.")
    proof: str = Field(default="never", description="What its last regular run showed.")
    newest: _Version | None = Field(default=None, description="The newest public version.")
    pending: _Version | None = Field(default=None, description="The version that is not public yet.")

    @property
    def title(self) -> str:
        """Its title."""
        version = self.newest or self.pending
        return str(version.sidecar.get("title", self.name)) if version else self.name

    def __repr__(self) -> str:
        public = f"version {self.newest.number}" if self.newest else "not public yet"
        draft = f", draft {self.pending.number}" if self.pending and self.newest else ""
        return f"<{self.kind} {self.name}: {self.title}; {self.state}, {public}{draft}>"


class Card(_Said):
    """An entry that a search found."""

    name: str = Field(description="What it is called in addresses and commands.")
    kind: str = Field(description="What it is.")
    title: str = Field(description="Its title.")
    abstract: str = Field(description="What it does and for whom.")
    tags: tuple[str, ...] = Field(default=(), description="What people would look for.")
    state: str = Field(description="Where it stands.")
    proof: str = Field(default="never", description="What its last regular run showed.")
    version: int = Field(description="The number of its newest public version.")
    published_at: datetime | None = Field(default=None, description="When that became public.")
    stars: int = Field(default=0, description="How many people gave it a star.")

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}: {self.title}; {self.state}, version {self.version}>"


class _DraftReply(_Said):
    entry: Entry
    version: _Version
    missing: dict[str, str]


class _Found(_Said):
    cards: tuple[Card, ...]


class _Mine(_Said):
    entries: tuple[Entry, ...]


class _One(_Said):
    entry: Entry


class _Versions(_Said):
    versions: tuple[_Version, ...]


class _Counted(_Said):
    counted: bool


class Repository(_Said):
    """A Git repository that was registered."""

    id: int = Field(description="Its number.")
    url: str = Field(description="Its address.")
    branch: str = Field(default="", description="The branch that is read; empty for its own choice.")
    folder: str = Field(default="", description="The folder that is read; empty for all of it.")
    commit: str | None = Field(default=None, description="The commit that was read last.")
    problem: str | None = Field(default=None, description="What is wrong, of the whole or of some notebooks.")
    drafts: tuple[str, ...] = Field(default=(), description="The entries that have a draft of it now.")

    def told(self) -> str:
        """What came of it, in sentences."""
        lines = [f"{self.url} is registered, and is read again when it changes."]
        if self.drafts:
            lines.append(f"You have drafts of it: {', '.join(self.drafts)}. Make them public on their pages.")
        if self.problem:
            lines.append(self.problem)
        return "\n".join(lines)


class Draft:
    """A version that its owner alone sees, until they make it public on its page."""

    def __init__(self, reply: _DraftReply, address: str) -> None:
        #: The entry's name.
        self.name: str = reply.entry.name
        #: The version's number.
        self.number: int = reply.version.number
        #: Its title.
        self.title: str = str(reply.version.sidecar.get("title", reply.entry.name))
        #: What has to be said yet before it can be public, with what each field says.
        self.missing: dict[str, str] = dict(reply.missing)
        #: The page on which it is looked at and made public.
        self.address: str = address

    def __repr__(self) -> str:
        lacks = f", lacks {', '.join(self.missing)}" if self.missing else ""
        return f"<draft {self.number} of {self.name}{lacks}>"

    def _repr_html_(self) -> str:
        link = f'<a href="{html.escape(self.address)}" target="_blank" rel="noopener">its page</a>'
        return f"Draft {self.number} of <b>{html.escape(self.name)}</b>: see {link}."

    def told(self) -> str:
        """What there is to do now, in sentences."""
        lines = [f"Draft {self.number} of '{self.title}' is in the catalogue as {self.name}. You alone see it."]
        if self.missing:
            lines.append("Before it can be public it needs:")
            lines += [f"  {name}: {about}" for name, about in self.missing.items()]
            lines.append("Say it in the notebook's sidecar and publish again, or on the page:")
        else:
            lines.append("Look at it and make it public on its page:")
        return "\n".join([*lines, f"  {self.address}"])


def publish(path: str | os.PathLike[str], **fields: Any) -> Draft:
    """Send a notebook, a data product or a tool as a draft; print what it lacks and where it is made public.

    What is said here of a notebook is kept in its sidecar, `survey.community.yaml` beside `survey.ipynb`. It need
    not be said again.

    :param path: the notebook; or of a product or a tool its sidecar, which says its `kind`; or a folder of your
        scratch, such as `romanhub.scratch().path + "photoz/"`, whose files become a data product.
    :param fields: `name`, what the entry is called in addresses, and the fields of
        `romanhub.models.community.Sidecar`: `title`, `abstract`, `authors` (`["Ada 0000-0002-1825-0097"]`),
        `licence`, `tags`, `citation`, `image`, `tier`, `datasets` and `parameters`; of a product `columns`
        (`{"z": "dimensionless"}`), `notebook` and `software`; of a tool `requirement` and `entry_point`.
    :raises CommunityRefusedError: it was refused; the message says why.
    :raises SidecarError: a field is none, or the sidecar cannot be read.
    """
    if is_contribution(os.fspath(path)):
        draft = contribute(read_contribution(os.fspath(path)), fields)
    else:
        draft = send(read_notebook_file(path), fields)
    print(draft.told())  # noqa: T201  -- what a person has to do next
    return draft


def register(url: str, *, branch: str = "", folder: str = "", prefix: str = "") -> Repository:
    """Register a public Git repository; its notebooks that have a sidecar become drafts, whenever it changes.

    :param url: its address, `https://…`.
    :param branch: the branch to read; the repository's own choice by default.
    :param folder: the folder to read; all of it by default.
    :param prefix: what the entries' names begin with.
    :raises CommunityRefusedError: it cannot be read; the message says why.
    """
    body = {"url": url, "branch": branch, "folder": folder, "prefix": prefix}
    portal = Portal.from_environment()
    return portal.post(f"{API}/repositories", body, Repository, refused=CommunityRefusedError, timeout=READING)


def mine() -> list[Entry]:
    """Return your own entries, drafts among them."""
    return list(Portal.from_environment().get(f"{API}/mine", _Mine).entries)


def search(words: str = "", **facets: str) -> list[Card]:
    """Return the entries that have the words, the best first; all of them without words.

    :param words: what to look for.
    :param facets: `tag`, `dataset`, `image`, `kind` or `status` narrow it.
    """
    known = ("tag", "dataset", "image", "kind", "status")
    if unknown := [name for name in facets if name not in known]:
        raise ValueError(f"There is no facet {unknown[0]!r}. There are: {', '.join(known)}.")
    query = urlencode({"words": words, **facets})
    reply = Portal.from_environment().get(f"{API}/entries?{query}", _Found, refused=CommunityRefusedError)
    return list(reply.cards)


def find(name: str, portal: Portal | None = None) -> Entry:
    """Return an entry. Raises CommunityRefusedError where there is none of that name."""
    portal = portal or Portal.from_environment()
    return portal.get(_path(name), _One, refused=CommunityRefusedError).entry


def copy(entry: str | Entry | Card, folder: str | os.PathLike[str] = ".", version: int | None = None) -> Path:
    """Write a copy of a version of an entry into a folder, and return where it is.

    Nothing is written over. The copy remembers which version it is of, so that Lab can say when there is a newer
    one.

    :param entry: the entry, or its name.
    :param folder: where to write it.
    :param version: which version; the newest if not given.
    :raises CommunityRefusedError: there is no such entry or version, or it is no notebook.
    """
    portal = Portal.from_environment()
    found = find(entry if isinstance(entry, str) else entry.name, portal)
    if found.newest is None or found.kind != "notebook":
        raise CommunityRefusedError(f"{found.name} has no public notebook that could be copied.")
    chosen = found.newest
    if version not in (None, chosen.number):
        versions = portal.get(f"{_path(found.name)}/versions", _Versions, refused=CommunityRefusedError).versions
        older = next((one for one in versions if one.number == version), None)
        if older is None:
            raise CommunityRefusedError(f"{found.name} has no public version {version}.")
        chosen = older
    path = f"{_path(found.name)}/versions/{chosen.number}"
    content = portal.get_file(f"{path}/file", refused=CommunityRefusedError)
    source = Provenance(entry=found.name, version=chosen.number, digest=chosen.digest)
    written = write_copy(Path(folder).expanduser(), found.name, content, source)
    portal.post(f"{path}/opens", {}, _Counted, refused=CommunityRefusedError)
    return written


def send(notebook: NotebookFile, fields: Mapping[str, Any], portal: Portal | None = None) -> Draft:
    """Send a notebook with what its sidecar says and, above that, what is said here; keep both in the sidecar.

    :raises CommunityRefusedError: it was refused.
    :raises SidecarError: a field is none.
    """
    portal = portal or Portal.from_environment()
    said = in_order({**notebook.fields, **fields}, notebook.path.name)
    name = str(said.pop("name", "") or entry_name(notebook.path.stem))
    body = {
        "file": base64.b64encode(notebook.content).decode(),
        "file_name": notebook.path.name,
        "sidecar": said,
    }
    path = f"{_path(name)}/draft"
    reply = portal.put(path, body, _DraftReply, refused=CommunityRefusedError, timeout=LOOKING)
    if fields:
        write_sidecar(notebook.path, {"name": name, **said})
    return Draft(reply, address_of(portal, f"{PAGES}/{quote(name, safe='')}/draft"))


def contribute(given: Contribution, fields: Mapping[str, Any], *, check: bool = True) -> Draft:
    """Send a data product or a tool with what its sidecar says and, above that, what is said here.

    :param check: whether pip is asked for a tool first.
    :raises CommunityRefusedError: it was refused.
    :raises SidecarError: a field is none.
    """
    portal = Portal.from_environment()
    said = in_order({**given.fields, **fields}, given.called)
    name = name_for(given, said)
    said.pop("name", None)
    what, body, seconds = body_of(given, said, check=check)
    path = f"{_path(name)}/{what}"
    if given.kind == "product":
        with CopyBar() as bar:
            reply = portal.put_and_follow(
                path, body, _DraftReply, refused=CommunityRefusedError, timeout=seconds, told=bar.told
            )
    else:
        reply = portal.put(path, body, _DraftReply, refused=CommunityRefusedError, timeout=seconds)
    return Draft(reply, address_of(portal, f"{PAGES}/{quote(name, safe='')}/draft"))


def in_order(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return fields as the catalogue takes them: some may be given as text. Raises SidecarError."""
    said = checked(dict(fields), f"What is said of {where}")
    if isinstance(said.get("authors"), str):
        said["authors"] = [one for one in said["authors"].replace("\n", ";").split(";") if one.strip()]
    if "authors" in said:
        said["authors"] = [author_of(one) if isinstance(one, str) else one for one in said["authors"]]
    for name in ("tags", "datasets", "software", "hashes"):
        if isinstance(said.get(name), str):
            said[name] = [one.strip() for one in said[name].split(",") if one.strip()]
    if isinstance(columns := said.get("columns"), Mapping):
        said["columns"] = [{"name": name, "unit": unit} for name, unit in columns.items()]
    if isinstance(parameters := said.get("parameters"), list | tuple):
        said["parameters"] = [
            dict(zip(("name", "about"), (part.strip() for part in f"{one}:".split(":", 1)), strict=True))
            if isinstance(one, str)
            else one
            for one in parameters
        ]
    return {name: value for name, value in said.items() if value not in ([], "")}


def author_of(text: str) -> dict[str, str]:
    """Return an author from a name that may be followed by an ORCID iD, in brackets or not.

    :raises SidecarError: what looks like an ORCID iD is none.
    """
    name, _, last = text.strip().rpartition(" ")
    last = last.strip("()<>[],")
    if name and any(letter.isdigit() for letter in last):
        try:
            return {"name": name.rstrip(" ,"), "orcid": orcid_of(last)}
        except ValueError as error:
            raise SidecarError(f"The author '{text.strip()[:100]}': {error}.") from None
    return {"name": text.strip()}


def newer_than(source: Provenance, portal: Portal | None = None) -> tuple[int, str] | None:
    """Return the number and the address of a newer public version than a copy's; None without one."""
    portal = portal or Portal.from_environment()
    try:
        found = find(source.entry, portal)
    except CommunityRefusedError:
        return None
    if found.newest is None or found.newest.number <= source.version or found.state == "withdrawn":
        return None
    return found.newest.number, address_of(portal, f"{PAGES}/{quote(source.entry, safe='')}")


def _path(name: str) -> str:
    return f"{API}/entries/{quote(name, safe='')}"


def address_of(portal: Portal, path: str) -> str:
    """Return the address of one of the portal's pages, as a browser knows it where the platform says it."""
    public = os.environ.get(PUBLIC_VARIABLE, "")
    return urljoin(public or portal.url, f"{portal.path}{path}")


__all__ = [
    "Card",
    "CommunityRefusedError",
    "Draft",
    "Entry",
    "Repository",
    "RomanHubError",
    "copy",
    "mine",
    "publish",
    "register",
    "search",
]
