"""Registering a repository and reading it again: drafts of its owner, and what is public only by their word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from romanhub.community.errors import ConflictError, NoSuchEntryError, RefusedError
from romanhub.community.repositories.reader import RepositoryReader
from romanhub.community.services.repositories import Repositories
from romanhub.models.community import State

from tests.platform.community.hostile import markdown, notebook
from tests.platform.community.shelf import Shelf
from tests.support.git_server import GitServer, git_server

SIDECAR = """
title: Depth of the survey
abstract: How deep each filter of the survey goes, by the sources that are in it.
authors: [{name: Ada, orcid: 0000-0002-1825-0097}]
licence: BSD-3-Clause
tags: [photometry, depth]
"""


def text(words: str = "# Depth") -> str:
    return json.dumps(notebook(markdown(words)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as running:
        running.commit("work", {"depth.ipynb": text(), "depth.community.yaml": SIDECAR})
        yield running


@pytest.fixture
def repositories(shelf: Shelf, server: GitServer) -> Repositories:
    return Repositories(shelf.catalogue, RepositoryReader(allowed=frozenset({server.origin})))


def test_its_notebooks_become_drafts_and_new_versions_with_their_commit(
    shelf: Shelf, server: GitServer, repositories: Repositories
) -> None:
    first = server.git("work", "rev-parse", "HEAD").strip()
    registered = repositories.register("ada", server.url("work"), prefix="Deep Field")
    assert (registered.drafts, registered.problem, registered.commit) == (("deep-field-depth",), None, first)
    draft = shelf.catalogue.entry("deep-field-depth", viewer="ada")
    assert draft.state is State.DRAFT
    assert draft.pending is not None
    assert draft.pending.details["commit"] == first
    assert draft.pending.details["repository"] == server.url("work")
    with pytest.raises(NoSuchEntryError):
        shelf.catalogue.entry("deep-field-depth", viewer="grace")

    # It waits for its owner, however often it is read; what is public is not made anew.
    shelf.catalogue.publish("ada", "deep-field-depth")
    shelf.wait(hours=2)
    assert repositories.read_due() == 1
    server.commit("work", {"README.md": "Only words.\n"})
    shelf.wait(minutes=1)
    again = repositories.read("ada", registered.id)
    assert again.commit != first
    assert again.drafts == ()
    assert shelf.catalogue.entry("deep-field-depth", viewer="ada").pending is None

    second = server.commit("work", {"depth.ipynb": text("# Deeper")})
    shelf.wait(minutes=59)
    assert repositories.read_due() == 0
    shelf.wait(minutes=2)
    assert repositories.read_due() == 1
    entry = shelf.catalogue.entry("deep-field-depth", viewer="ada")
    assert entry.newest is not None
    assert entry.newest.number == 1
    assert entry.pending is not None
    assert (entry.pending.number, entry.pending.details["commit"]) == (2, second)


def test_new_versions_go_public_by_themselves_only_where_the_owner_said_so(
    shelf: Shelf, server: GitServer, repositories: Repositories
) -> None:
    registered = repositories.register("ada", server.url("work"), at_once=True)
    # The first version is looked at by a person in any case.
    assert registered.drafts == ("depth",)
    assert registered.published == ()
    shelf.catalogue.publish("ada", "depth")
    server.commit("work", {"depth.ipynb": text("# Deeper"), "depth.community.yaml": SIDECAR})
    shelf.wait(minutes=1)
    assert repositories.read("ada", registered.id).published == ("depth",)
    newest = shelf.catalogue.entry("depth").newest
    assert newest is not None
    assert newest.number == 2
    repositories.set_at_once("ada", registered.id, False)
    server.commit("work", {"depth.ipynb": text("# Deepest")})
    shelf.wait(minutes=1)
    assert repositories.read("ada", registered.id).drafts == ("depth",)
    # Nor does what somebody has taken back come again by itself.
    repositories.set_at_once("ada", registered.id, True)
    shelf.catalogue.act("ada", (), "depth", shelf_act("discard"))
    shelf.catalogue.act("ada", (), "depth", shelf_act("deprecate"), "There is something better.")
    server.commit("work", {"depth.ipynb": text("# Deepest of all")})
    shelf.wait(minutes=1)
    assert repositories.read("ada", registered.id).published == ()


def shelf_act(name: str):
    from romanhub.models.community import Act

    return Act(name)


def test_what_is_wrong_is_shown_to_its_owner_and_the_rest_is_taken(
    shelf: Shelf, server: GitServer, repositories: Repositories
) -> None:
    shelf.publish("grace", "taken")
    server.commit(
        "work",
        {
            "taken.ipynb": text(),
            "taken.community.yaml": SIDECAR,
            "closed.ipynb": text(),
            "closed.community.yaml": SIDECAR.replace("BSD-3-Clause", "CC-BY-ND-4.0"),
            "typo.ipynb": text(),
            "typo.community.yaml": "titel: x\n",
        },
    )
    registered = repositories.register("ada", server.url("work"))
    assert registered.drafts == ("depth",)
    problem = str(registered.problem)
    assert "closed.ipynb: licence: " in problem or "CC-BY-ND-4.0 forbids" in problem
    assert "taken.ipynb: There is an entry 'taken' already" in problem
    assert "typo.ipynb: typo.community.yaml has the field 'titel'" in problem
    (kept,) = repositories.of("ada")
    assert kept.problem == problem
    assert repositories.of("grace") == ()

    # Once its host is away, that is said; what was read stays.
    server.instead["/work"] = (404, {})
    shelf.wait(hours=2)
    assert repositories.read_due() == 1
    (kept,) = repositories.of("ada")
    assert "no repository at this address" in str(kept.problem)
    assert shelf.catalogue.entry("depth", viewer="ada").pending is not None


def test_what_cannot_be_read_is_not_registered(
    shelf: Shelf, server: GitServer, repositories: Repositories
) -> None:
    with pytest.raises(RefusedError, match="no repository at this address"):
        repositories.register("ada", server.url("nowhere"))
    with pytest.raises(RefusedError, match="private network|public host"):
        repositories.register("ada", "https://169.254.169.254/latest")
    assert repositories.of("ada") == ()


def test_each_has_their_own_and_no_more_than_some(
    shelf: Shelf, server: GitServer, repositories: Repositories
) -> None:
    registered = repositories.register("ada", server.url("work"))
    with pytest.raises(ConflictError, match="already"):
        repositories.register("ada", server.url("work"))
    # Nobody can take an address away from its owner by being first; names of entries stay whose they are.
    other = repositories.register("grace", server.url("work"))
    assert "which somebody else made" in str(other.problem)
    for act in (repositories.read, repositories.remove):
        with pytest.raises(NoSuchEntryError):
            act("grace", registered.id)
    with pytest.raises(ConflictError, match="a moment ago"):
        repositories.read("ada", registered.id)
    repositories.remove("ada", registered.id)
    assert repositories.of("ada") == ()
    assert shelf.catalogue.entry("depth", viewer="ada").pending is not None
