"""What an author has to say, and who may do what with an entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from romanhub.models.community import Act, Role, Sidecar, State, moves_for, orcid_of

ABSTRACT = "Measures how deep a stack of exposures is, in every filter."


def sidecar(**more: object) -> Sidecar:
    given: dict[str, object] = {
        "title": "Depth",
        "abstract": ABSTRACT,
        "authors": [{"name": "Ada"}],
        "licence": "MIT",
    }
    return Sidecar.model_validate(given | more)


def test_an_orcid_id_is_taken_with_or_without_its_address() -> None:
    # The examples of ORCID's own documentation of the checksum.
    assert orcid_of("https://orcid.org/0000-0002-1825-0097") == "0000-0002-1825-0097"
    assert orcid_of("0000-0002-1694-233X") == "0000-0002-1694-233X"


@given(place=st.integers(0, 14), by=st.integers(1, 9))
def test_one_wrong_digit_of_an_orcid_id_is_noticed(place: int, by: int) -> None:
    digits = list("000000021825009")
    digits[place] = str((int(digits[place]) + by) % 10)
    text = "".join(digits) + "7"
    with pytest.raises(ValueError, match="no ORCID iD"):
        orcid_of("-".join(text[start : start + 4] for start in range(0, 16, 4)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": " "},
        {"title": "two\nlines"},
        {"abstract": "Too short."},
        {"authors": []},
        {"authors": [{"name": "Ada", "orcid": "0000-0002-1825-0098"}]},
        {"tags": ["../x"]},
        {"datasets": ["../roman"]},
        {"parameters": [{"name": "import os"}]},
        {"stars": 5},
    ],
)
def test_what_a_sidecar_may_not_say(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        sidecar(**wrong)


def test_tags_are_taken_once_and_in_order() -> None:
    assert sidecar(tags=["stars", "bulge", "stars"]).tags == ("bulge", "stars")


AUTHOR, CURATOR = frozenset({Role.AUTHOR}), frozenset({Role.CURATOR})


def acts(state: State, roles: frozenset[Role], *, pending: bool = False) -> set[Act]:
    return {move.act for move in moves_for(state, roles, pending=pending)}


def test_an_author_publishes_deprecates_and_withdraws_and_reviews_nothing() -> None:
    assert acts(State.DRAFT, AUTHOR, pending=True) == {Act.PUBLISH, Act.DISCARD}
    assert acts(State.PUBLIC, AUTHOR) == {Act.DEPRECATE, Act.WITHDRAW}
    assert acts(State.PUBLIC, AUTHOR, pending=True) == {Act.PUBLISH, Act.DISCARD, Act.DEPRECATE, Act.WITHDRAW}


def test_a_curator_reviews_and_never_publishes_for_others() -> None:
    assert acts(State.DRAFT, CURATOR, pending=True) == set()
    assert acts(State.PUBLIC, CURATOR, pending=True) == {Act.REVIEW, Act.DEPRECATE, Act.WITHDRAW}
    assert Act.UNREVIEW in acts(State.REVIEWED, CURATOR)


@pytest.mark.parametrize("state", State)
def test_others_do_nothing_and_what_is_withdrawn_stays_so(state: State) -> None:
    assert acts(state, frozenset(), pending=True) == set()
    assert acts(State.WITHDRAWN, AUTHOR | CURATOR, pending=True) == set()
