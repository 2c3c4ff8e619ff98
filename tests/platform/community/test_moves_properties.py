"""Whatever people try on an entry, in whatever order: what happens is what the table of moves says."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from romanhub.community.errors import CommunityError, ConflictError, NoSuchEntryError
from romanhub.models.community import MOVES, Act, Role, State

from tests.platform.community.shelf import Shelf, file, sidecar

OWNER, OTHERS = "ada", ("bob", "cleo")
NAME = "depth"


class Entry(RuleBasedStateMachine):
    """One entry, of which the table says what becomes of it."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.shelf = Shelf(make_engine(f"sqlite:///{shutil.copy(self.template, self.folder / 'c.sqlite')}"))
        #: None where there is no entry.
        self.state: State | None = None
        self.pending = False
        self.published: list[bytes] = []
        self.last = b""
        self.done = 0
        self.source = 0

    def teardown(self) -> None:
        self.shelf.engine.dispose()
        shutil.rmtree(self.folder)

    @rule(complete=st.booleans())
    def send(self, complete: bool) -> None:
        """The owner sends another draft."""
        self.source += 1
        content = file(f"print({self.source})")
        try:
            self.shelf.catalogue.draft(OWNER, NAME, content, sidecar() if complete else {"title": "Depth"})
        except ConflictError:
            assert self.state is State.WITHDRAWN
            return
        assert self.state is not State.WITHDRAWN
        self.state, self.pending, self.last, self.complete = self.state or State.DRAFT, True, content, complete
        self.done += 1

    @rule(
        person=st.sampled_from([OWNER, *OTHERS]),
        curator=st.booleans(),
        act=st.sampled_from(Act),
        why=st.booleans(),
    )
    def do(self, person: str, curator: bool, act: Act, why: bool) -> None:
        """Somebody tries an act."""
        roles = {Role.AUTHOR} if person == OWNER else {Role.CURATOR} if curator else set()
        move = next(
            (
                one
                for one in MOVES
                if one.act is act and self.state in one.of and one.by & roles and (why or not one.reasoned)
            ),
            None,
        )
        of_draft = act in (Act.PUBLISH, Act.DISCARD)
        allowed = move is not None and (self.pending or not of_draft) and (act is not Act.PUBLISH or self.complete)
        given = frozenset({Role.CURATOR}) if curator else frozenset()
        try:
            self.shelf.catalogue.act(person, given, NAME, act, "Because." if why else "")
        except CommunityError:
            assert not allowed
            return
        assert allowed
        assert move is not None
        self.done += 1
        if act is Act.PUBLISH:
            self.published.append(self.last)
        if of_draft or act is Act.WITHDRAW:
            self.pending = False
        self.state = move.to or self.state
        if act is Act.DISCARD and not self.published:
            self.state, self.done = None, 0

    @invariant()
    def it_is_as_the_table_says(self) -> None:
        """State, draft, versions and acts are what the table made of them."""
        catalogue = self.shelf.catalogue
        if self.state is None:
            with pytest.raises(NoSuchEntryError):
                catalogue.entry(NAME, viewer=OWNER)
            return
        entry = catalogue.entry(NAME, viewer=OWNER)
        assert (entry.state, entry.pending is not None) == (self.state, self.pending)
        assert len(catalogue.acts(NAME, viewer=OWNER)) == self.done
        versions = catalogue.versions(NAME, viewer=OWNER)
        assert [one.number for one in versions] == list(range(len(self.published), 0, -1))
        if self.state is not State.WITHDRAWN:
            assert [catalogue.content(one) for one in reversed(versions)] == self.published
        # Nobody but the owner sees a draft, and a search finds what is shown.
        found = catalogue.search().total
        assert found == (self.state in (State.PUBLIC, State.REVIEWED))
        if self.state is State.DRAFT:
            with pytest.raises(NoSuchEntryError):
                catalogue.entry(NAME, viewer="bob")
        else:
            assert catalogue.entry(NAME, viewer="bob").pending is None


def test_what_happens_is_what_the_table_says(catalogue_in_sqlite: Path) -> None:
    machine = type("EntryHere", (Entry,), {"template": catalogue_in_sqlite})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
