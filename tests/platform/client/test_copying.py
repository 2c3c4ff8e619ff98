"""A link of the community's pages is read strictly, before anything is asked of the portal."""

from __future__ import annotations

import pytest
from romanhub.client.copying import asked


def test_an_entry_and_a_version_are_read() -> None:
    assert asked({"entry": [b"depth-of-a-stack"], "version": [b"3"], "size": [b"large"]}) == (
        "depth-of-a-stack",
        3,
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"entry": [b"depth"]},
        {"entry": [b"../depth"], "version": [b"1"]},
        {"entry": [b"Depth"], "version": [b"1"]},
        {"entry": [b"depth", b"-other"], "version": [b"0"]},
        {"entry": [b"depth"], "version": [b"-1"]},
        {"entry": [b"d" * 101], "version": [b"1"]},
        {"entry": [b"\xff"], "version": [b"1"]},
    ],
)
def test_what_is_none_is_turned_down(given: dict[str, list[bytes]]) -> None:
    with pytest.raises(ValueError, match="."):
        asked(given)
