"""Finding entries by words and facets, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from romanhub.community.errors import RefusedError
from romanhub.models.community import Act, Role
from romanhub.models.entries import Found

from tests.platform.community.shelf import Shelf


@pytest.fixture
def full(shelf: Shelf) -> Shelf:
    """A catalogue of four public entries and a draft."""
    shelf.publish("ada", "galaxy-counts", "np.mean(flux)", tags=["galaxies"], datasets=["roman-l2"], image="core")
    shelf.wait(hours=1)
    shelf.publish("ada", "star-counts", "galaxies = None", tags=["stars", "bulge"], datasets=["roman-l2"])
    shelf.wait(hours=1)
    shelf.publish("bob", "light-curves", "fold(period)", tags=["stars"], authors=[{"name": "Éva Noël"}])
    shelf.wait(hours=1)
    shelf.publish("bob", "old-way", "old()", tags=["stars"])
    shelf.catalogue.act("bob", (), "old-way", Act.DEPRECATE, "light-curves is better")
    shelf.catalogue.draft("bob", "galaxy-draft", b'{"cells": [], "metadata": {}}', {"title": "Galaxies"})
    return shelf


def names(found: Found) -> list[str]:
    return [card.name for card in found.cards]


def test_words_are_found_wherever_they_are_and_titles_first(full: Shelf) -> None:
    search = full.catalogue.search
    # In a title, which is singular; and in a notebook's code.
    assert names(search("galaxies")) == ["galaxy-counts", "star-counts"]
    assert names(search("mean FLUX")) == ["galaxy-counts"]
    assert names(search("counts bulge")) == ["star-counts"]
    assert names(search("light-cur")) == ["light-curves"]
    assert names(search("NOËL")) == names(search("eva noel")) == ["light-curves"]
    assert names(search("quasar")) == []
    assert names(search()) == ["light-curves", "star-counts", "galaxy-counts"]


@pytest.mark.parametrize(
    "odd", ['"', "'", "a AND", "NEAR(", "*", "title:x", "a\\", "' | !b", "%", "(", "\x00", ":*", "-", "𝛼", "the"]
)
def test_no_words_break_a_search(full: Shelf, odd: str) -> None:
    full.catalogue.search(odd)


def test_facets_narrow_what_was_found(full: Shelf) -> None:
    search = full.catalogue.search
    found = search("counts")
    assert [(one.value, one.entries) for one in found.facets.tags] == [("bulge", 1), ("galaxies", 1), ("stars", 1)]
    assert [(one.value, one.entries) for one in found.facets.datasets] == [("roman-l2", 2)]
    assert names(search(tags=["stars"])) == ["light-curves", "star-counts"]
    assert names(search(tags=["stars", "bulge"])) == ["star-counts"]
    assert names(search(datasets=["roman-l2"], images=["core"])) == ["galaxy-counts"]
    assert names(search(kinds=["tool"])) == []
    # What could be chosen instead is still told.
    assert {one.value: one.entries for one in search(kinds=["tool"]).facets.kinds} == {"notebook": 3}


def test_statuses_are_states_and_proofs(full: Shelf) -> None:
    search = full.catalogue.search
    full.catalogue.act("cleo", (Role.CURATOR,), "star-counts", Act.REVIEW)
    assert names(search(statuses=["reviewed"])) == ["star-counts"]
    assert names(search(statuses=["deprecated"])) == ["old-way"]
    assert names(search(statuses=["reviewed", "passed"])) == []
    counts = {one.value: one.entries for one in search().facets.statuses}
    assert counts == {"public": 2, "reviewed": 1, "deprecated": 1, "never": 3}
    with pytest.raises(RefusedError, match="'withdrawn' is no status"):
        search(statuses=["withdrawn"])


def test_orders_and_pages(full: Shelf) -> None:
    search = full.catalogue.search
    full.catalogue.star("eve", "galaxy-counts")
    full.catalogue.opened("eve", "star-counts", 1)
    assert names(search(order="stars"))[0] == "galaxy-counts"
    assert names(search(order="opens"))[0] == "star-counts"
    second = search(page=2, page_size=2)
    assert (names(second), second.total, second.pages) == (["galaxy-counts"], 3, 2)
    assert search(page=99, page_size=2).page == 2
    with pytest.raises(RefusedError, match="no order"):
        search(order="best")


def test_a_new_version_is_found_by_what_it_says_now(full: Shelf) -> None:
    full.publish("ada", "galaxy-counts", "np.median(flux)", tags=["clusters"])
    assert names(full.catalogue.search("mean")) == []
    assert names(full.catalogue.search("median")) == ["galaxy-counts"]
    assert names(full.catalogue.search(tags=["galaxies"])) == []
