"""Publishing, acts, stars and opens: what people would notice, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import is_current, migrate
from romanhub.community.errors import (
    ConflictError,
    NoSuchEntryError,
    NotYoursError,
    RefusedError,
    WrongSidecarError,
)
from romanhub.community.storage.tables import MIGRATIONS
from romanhub.models.community import Act, Role, State
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from tests.platform.community.shelf import Shelf, file, sidecar

CURATOR = (Role.CURATOR,)


def test_the_tables_are_as_the_models_of_them_say(catalogue_url: str) -> None:
    engine = make_engine(catalogue_url)
    migrate(engine, MIGRATIONS)
    assert is_current(engine, MIGRATIONS)
    there = inspect(engine)
    for name, table in MIGRATIONS.metadata.tables.items():
        columns = {column["name"] for column in there.get_columns(name)}
        assert columns - {"document"} == {column.name for column in table.columns}
        indexes = {index["name"] for index in there.get_indexes(name)}
        assert {str(index.name) for index in table.indexes} <= indexes
    engine.dispose()


def test_from_a_draft_to_a_second_version(shelf: Shelf) -> None:
    catalogue = shelf.catalogue
    draft = catalogue.draft("ada", "depth", file("depth()"), {"title": "Depth"})
    assert set(draft.missing) == {"abstract", "authors", "licence"}
    with pytest.raises(ConflictError, match="it lacks: abstract"):
        catalogue.publish("ada", "depth")
    with pytest.raises(NoSuchEntryError):
        catalogue.entry("depth")
    assert catalogue.entry("depth", viewer="ada").pending == draft.version

    again = catalogue.draft("ada", "depth", file("depth(2)"), sidecar())
    assert (again.version.number, again.missing) == (1, {})
    shelf.wait(hours=1)
    public = catalogue.publish("ada", "depth")
    assert (public.state, public.pending) == (State.PUBLIC, None)
    assert public.newest is not None
    assert public.newest.published_at == shelf.now
    assert catalogue.content(public.newest) == file("depth(2)")
    # The file of the draft that was replaced is not kept.
    assert len(shelf.bucket.files) == 1

    catalogue.draft("ada", "depth", file("depth(3)"), sidecar(title="Deeper"))
    assert catalogue.entry("depth").pending is None
    with pytest.raises(NoSuchEntryError):
        catalogue.version("depth", 2)
    catalogue.publish("ada", "depth")
    assert [one.number for one in catalogue.versions("depth")] == [2, 1]
    assert catalogue.version("depth", 1).about.title == "Depth"
    assert [one.act for one in catalogue.acts("depth")] == ["draft", "draft", "publish", "draft", "publish"]


def test_what_is_public_never_changes(shelf: Shelf) -> None:
    shelf.publish("ada", "depth")
    for statement in (
        "UPDATE version SET digest = 'x'",
        "DELETE FROM version",
        "UPDATE act SET actor = 'x'",
        "DELETE FROM act",
    ):
        with pytest.raises(DBAPIError), shelf.engine.begin() as connection:
            connection.execute(text(statement))


def test_what_is_turned_down(shelf: Shelf) -> None:
    catalogue = shelf.catalogue
    shelf.publish("ada", "depth")
    with pytest.raises(RefusedError, match="cannot be an entry's name"):
        catalogue.draft("ada", "../depth", file("1"), sidecar())
    with pytest.raises(NotYoursError, match="somebody else made"):
        catalogue.draft("bob", "depth", file("1"), sidecar())
    with pytest.raises(WrongSidecarError, match="ORCID") as wrong:
        catalogue.draft("bob", "mine", file("1"), sidecar(authors=[{"name": "B", "orcid": "1"}], tags=["?"]))
    assert set(wrong.value.fields) == {"authors", "tags"}
    with pytest.raises(RefusedError, match="forbids sharing"):
        catalogue.draft("bob", "mine", file("1"), sidecar(licence="CC-BY-ND-4.0"))
    with pytest.raises(NoSuchEntryError):
        catalogue.entry("mine", viewer="bob")


def test_a_name_is_free_again_after_a_draft_that_was_never_public(shelf: Shelf) -> None:
    catalogue = shelf.catalogue
    catalogue.draft("ada", "depth", file("1"), sidecar())
    catalogue.act("ada", (), "depth", Act.DISCARD)
    assert not shelf.bucket.files
    shelf.publish("bob", "depth")
    # What was done to the one before is not told of this one.
    assert [one.actor for one in catalogue.acts("depth")] == ["bob", "bob"]


def test_who_may_do_what(shelf: Shelf) -> None:
    catalogue = shelf.catalogue
    shelf.publish("ada", "depth")
    with pytest.raises(NotYoursError, match="Only a curator"):
        catalogue.act("bob", (), "depth", Act.REVIEW)
    with pytest.raises(NotYoursError, match="Nobody reviews an entry of their own"):
        catalogue.act("ada", CURATOR, "depth", Act.REVIEW)
    with pytest.raises(NotYoursError, match="Only its author"):
        catalogue.act("cleo", CURATOR, "depth", Act.PUBLISH)
    assert catalogue.act("cleo", CURATOR, "depth", Act.REVIEW).state is State.REVIEWED
    with pytest.raises(RefusedError, match="Say why"):
        catalogue.act("cleo", CURATOR, "depth", Act.UNREVIEW)
    assert catalogue.act("ada", (), "depth", Act.DEPRECATE, "depth-2 is better").reason == "depth-2 is better"
    with pytest.raises(ConflictError, match="is deprecated; review is for one that is public"):
        catalogue.act("cleo", CURATOR, "depth", Act.REVIEW)
    assert catalogue.act("ada", (), "depth", Act.RESTORE).reason is None


def test_of_what_is_withdrawn_a_tombstone_stays(shelf: Shelf) -> None:
    catalogue = shelf.catalogue
    shelf.publish("ada", "depth", "shared()")
    shelf.publish("bob", "same", "shared()")
    shelf.publish("ada", "depth", "alone()")
    older, newer = catalogue.version("depth", 1), catalogue.version("depth", 2)
    catalogue.act("cleo", CURATOR, "depth", Act.WITHDRAW, "It shows data under embargo.")

    entry = catalogue.entry("depth")
    assert (entry.state, entry.reason) == (State.WITHDRAWN, "It shows data under embargo.")
    assert entry.newest is not None
    assert entry.newest.about.title == "Depth"
    for version in (older, newer):
        with pytest.raises(NoSuchEntryError, match="was withdrawn"):
            catalogue.content(version)
        with pytest.raises(NoSuchEntryError, match="was withdrawn"):
            catalogue.page(version)
    # What the other entry has, too, is still there; what nobody has is gone.
    assert catalogue.content(catalogue.version("same", 1)) == file("shared()")
    assert newer.digest not in shelf.bucket.files
    assert catalogue.search("depth").total == 0
    with pytest.raises(ConflictError, match="withdrawn for good"):
        catalogue.draft("ada", "depth", file("2"), sidecar())


def test_a_page_is_made_once(shelf: Shelf) -> None:
    shelf.publish("ada", "depth")
    version = shelf.catalogue.version("depth", 1)
    assert shelf.catalogue.page(version) == shelf.catalogue.page(version)
    assert shelf.inspector.looks == 1  # type: ignore[attr-defined]
    shelf.bucket.pages.clear()  # another renderer finds none of its own
    shelf.catalogue.page(version)
    shelf.catalogue.page(version)
    assert shelf.inspector.looks == 2  # type: ignore[attr-defined]


def test_stars_and_opens_are_counted(shelf: Shelf) -> None:
    catalogue = shelf.catalogue
    shelf.publish("ada", "depth")
    assert catalogue.star("bob", "depth").stars == 1
    assert catalogue.star("bob", "depth").stars == 1
    assert catalogue.has_star("bob", "depth")
    assert catalogue.unstar("bob", "depth").stars == 0
    assert not catalogue.opened("ada", "depth", 1)
    assert catalogue.opened("bob", "depth", 1)
    assert not catalogue.opened("bob", "depth", 1)
    assert catalogue.opened("cleo", "depth", 1)
    shelf.wait(days=31)
    assert catalogue.opened("bob", "depth", 1)
    with pytest.raises(NoSuchEntryError):
        catalogue.opened("bob", "depth", 2)
    (use,) = catalogue.use_of("ada")
    assert (use.opens, use.people, use.recent, use.stars) == (3, 2, 1, 0)


def test_who_builds_on_an_entry(shelf: Shelf) -> None:
    catalogue = shelf.catalogue
    shelf.publish("ada", "depth")
    origin = catalogue.version("depth", 1)
    of = {"entry": "depth", "version": 1, "digest": origin.digest}
    for name, source in (("deeper", of), ("a-claim", of | {"digest": "0" * 64})):
        catalogue.draft("bob", name, file("more()", of=source), sidecar(title=name))
        catalogue.publish("bob", name)
    assert [card.name for card in catalogue.who_builds_on("depth")] == ["deeper"]
    assert catalogue.use_of("ada")[0].built_on_by == 1


def test_drafts_have_a_limit(shelf: Shelf) -> None:
    for number in range(50):
        shelf.catalogue.draft("ada", f"entry-{number}", file("1"), sidecar())
    with pytest.raises(ConflictError, match="50 is the most"):
        shelf.catalogue.draft("ada", "one-more", file("1"), sidecar())
    shelf.catalogue.publish("ada", "entry-0")
    assert (
        shelf.now + timedelta(0) == shelf.catalogue.draft("ada", "one-more", file("1"), sidecar()).version.made_at
    )
