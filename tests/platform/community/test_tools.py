"""Tools in the catalogue: what pip installs, pinned, and everything else refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.requirements import Requirement
from romanhub.community.errors import ConflictError, RefusedError, WrongSidecarError
from romanhub.community.tools import read_tool

from tests.platform.community.shelf import Shelf, sidecar

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("given", "install"),
    [
        ("photoz-fit==1.2.0", "photoz-fit==1.2.0"),
        ("  photoz-fit [plots]  == 1.2.0 ", "photoz-fit[plots]==1.2.0"),
        (
            f"photoz @ git+https://example.org/a/photoz@{COMMIT}",
            f"photoz @ git+https://example.org/a/photoz@{COMMIT}",
        ),
        (f"https://Example.org/a/photoz@{COMMIT}", f"git+https://example.org/a/photoz@{COMMIT}"),
        (
            f"photoz @ https://example.org/f/photoz-1.0-py3-none-any.whl#sha256={DIGEST}",
            f"photoz @ https://example.org/f/photoz-1.0-py3-none-any.whl#sha256={DIGEST}",
        ),
    ],
)
def test_what_is_pinned_has_a_line_that_installs_it(given: str, install: str) -> None:
    tool = read_tool({"requirement": given, "entry_point": "photoz:main"})
    assert tool is not None
    assert tool.install == f'%pip install "{install}"'
    if not install.startswith("git+"):
        Requirement(install)
    assert read_tool(tool.said()) == tool


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("photoz fit", "pip could not install"),
        ("photoz", "is not pinned"),
        ("photoz>=1.2", "is not pinned"),
        ("photoz==1.*", "is not pinned"),
        ("photoz==1.2; python_version > '3'", "condition behind a semicolon"),
        ("https://example.org/a/photoz", "a whole commit"),
        ("https://example.org/a/photoz@main", "a whole commit"),
        (f"http://example.org/a/photoz@{COMMIT}", "over HTTPS alone"),
        (f"https://ada:secret@example.org/a/photoz@{COMMIT}", "a user name or a key in it"),
        (f"https://127.0.0.1/a/photoz@{COMMIT}", "not the name of a public host"),
        (f"photoz @ git+ssh://git@example.org/a/photoz@{COMMIT}", "user name or a key"),
        (f"photoz @ file:///home/ada/photoz@{COMMIT}", "over HTTPS alone"),
        ("photoz @ https://example.org/photoz-1.0-py3-none-any.whl", "checksum behind it"),
        (f"photoz @ https://example.org/photoz.tar.gz#sha256={DIGEST}", "is a wheel"),
        (f"photoz @ https://example.org/other-1.0-py3-none-any.whl#sha256={DIGEST}", "The wheel is of other"),
        (f"photoz @ https://k@example.org/photoz-1.0-py3-none-any.whl#sha256={DIGEST}", "user name or a key"),
    ],
)
def test_what_is_not_the_same_for_everybody_is_refused(given: str, why: str) -> None:
    with pytest.raises(WrongSidecarError, match=why) as refusal:
        read_tool({"requirement": given})
    assert refusal.value.fields.keys() == {"requirement"}


@pytest.mark.parametrize("given", ["rm -rf /", "photoz:", ":main", "a b:c", "photoz;x", "../x"])
def test_an_entry_point_is_a_command_or_a_function(given: str) -> None:
    with pytest.raises(WrongSidecarError, match="neither a command nor a function"):
        read_tool({"entry_point": given})


def test_the_use_of_a_command_and_of_a_function() -> None:
    one = read_tool({"requirement": "p==1", "entry_point": "photoz-fit"})
    other = read_tool({"requirement": "p==1", "entry_point": "photoz.fit:main", "hashes": [f"sha256:{DIGEST}"]})
    assert one is not None
    assert other is not None
    assert one.use == "!photoz-fit --help"
    assert other.use == "from photoz.fit import main\nhelp(main)"
    assert other.hashed == f"p==1 --hash=sha256:{DIGEST}"


def tool(**more: Any) -> dict[str, Any]:
    return sidecar(**{"requirement": "photoz-fit==1.2", "entry_point": "photoz-fit"} | more)


def test_a_tool_is_published_found_and_pinned_for_good(shelf: Shelf) -> None:
    draft = shelf.catalogue.tools.draft("ada", "fitter", tool(requirement="", entry_point=""))
    assert draft.missing.keys() == {"requirement", "entry_point"}
    with pytest.raises(ConflictError, match="lacks: requirement"):
        shelf.catalogue.publish("ada", "fitter")
    shelf.catalogue.tools.draft("ada", "fitter", tool())
    shelf.catalogue.publish("ada", "fitter")
    shelf.catalogue.tools.draft("ada", "fitter", tool(requirement="photoz-fit==1.3"))
    shelf.catalogue.publish("ada", "fitter")
    first, second = (shelf.catalogue.tools.tool(shelf.catalogue.version("fitter", number)) for number in (1, 2))
    assert first is not None
    assert second is not None
    assert (first.version, second.version) == ("1.2", "1.3")
    found = shelf.catalogue.search("photoz fit", kinds=["tool"])
    assert [one.name for one in found.cards] == ["fitter"]
    assert [(one.value, one.entries) for one in found.facets.kinds] == [("tool", 1)]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"licence": "CC-BY-ND-4.0"}, "forbids sharing"),
        ({"abstract": "Set the key to AKIA and it works."}, "keys or tokens"),
        ({"columns": [{"name": "z", "unit": "deg"}]}, "said of a product"),
        ({"hashes": ["12"]}, "hashes"),
        ({"requirement": f"https://example.org/a/b@{COMMIT}", "hashes": [DIGEST]}, "of a version on PyPI"),
    ],
)
def test_what_is_said_of_a_tool_is_looked_at(shelf: Shelf, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        shelf.catalogue.tools.draft("ada", "fitter", tool(**fields))


def test_an_entry_stays_what_it_is(shelf: Shelf) -> None:
    shelf.publish("ada", "depth")
    with pytest.raises(ConflictError, match="is a notebook"):
        shelf.catalogue.tools.draft("ada", "depth", tool())
