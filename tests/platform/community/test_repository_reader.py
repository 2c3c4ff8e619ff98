"""Reading a repository that somebody named: what is found in it, and what it cannot make the platform do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from romanhub.community.errors import RefusedError, UnavailableError
from romanhub.community.repositories.addresses import check_folder, check_url, is_public, place_of
from romanhub.community.repositories.reader import RepositoryReader

from tests.platform.community.hostile import markdown, notebook
from tests.support.git_server import GitServer, git_server

SIDECAR = """
title: Depth of the survey
abstract: How deep each filter of the survey goes, by the sources that are in it.
authors: [{name: Ada, orcid: 0000-0002-1825-0097}]
licence: BSD-3-Clause
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as running:
        yield running


@pytest.fixture
def reader(server: GitServer) -> RepositoryReader:
    return RepositoryReader(allowed=frozenset({server.origin}))


def text(words: str = "# Depth") -> str:
    return json.dumps(notebook(markdown(words)))


def test_notebooks_with_a_sidecar_are_found_and_read_again_only_when_they_change(
    server: GitServer, reader: RepositoryReader
) -> None:
    with_metadata = {
        **notebook(markdown("# Colours")),
        "metadata": {"romanhub": {"sidecar": {"title": "Colours"}}},
    }
    first = server.commit(
        "notebooks",
        {
            "work/depth.ipynb": text(),
            "work/depth.community.yaml": SIDECAR,
            "work/colours.ipynb": json.dumps(with_metadata),
            "work/private.ipynb": text("# Nobody shares this one"),
            "other/depth.ipynb": text(),
            "other/depth.community.yaml": SIDECAR,
        },
    )
    found = reader.read(server.url("notebooks"), "", "work", None)
    assert found is not None
    assert found.commit == first
    assert [one.path for one in found.notebooks] == ["work/colours.ipynb", "work/depth.ipynb"]
    colours, depth = found.notebooks
    assert json.loads(depth.content) == json.loads(text())
    assert depth.fields["authors"] == [{"name": "Ada", "orcid": "0000-0002-1825-0097"}]
    assert colours.fields == {"title": "Colours"}

    # The same commit is not fetched again, which the server's own log shows.
    server.requests.clear()
    assert reader.read(server.url("notebooks"), "main", "work", first) is None
    assert len([path for path in server.requests if path.endswith("/git-upload-pack")]) == 1

    second = server.commit("notebooks", {"work/depth.ipynb": text("# Deeper")})
    again = reader.read(server.url("notebooks"), "main", "work", first)
    assert again is not None
    assert again.commit == second
    assert "Deeper" in again.notebooks[1].content.decode()


def test_what_is_wrong_with_one_notebook_is_said_of_that_one(
    server: GitServer, reader: RepositoryReader, tmp_path: Path
) -> None:
    folder = server.root / "mixed"
    secret = tmp_path / "secret.ipynb"
    secret.write_text(text("# Not the repository's"))
    server.commit("mixed", {"good.ipynb": text(), "good.community.yaml": SIDECAR})
    (folder / "linked.ipynb").symlink_to(secret)
    server.commit(
        "mixed",
        {
            "linked.community.yaml": SIDECAR,
            "typo.ipynb": text(),
            "typo.community.yaml": "titel: Depth\n",
            "broken.ipynb": text(),
            "broken.community.yaml": "title: [\n",
            "bomb.ipynb": text(),
            "bomb.community.yaml": "title: &a [x, x]\ntags: [*a, *a]\n",
            "large.ipynb": "x" * 20_000_001,
            "large.community.yaml": SIDECAR,
        },
    )
    found = reader.read(server.url("mixed"), "", "", None)
    assert found is not None
    problems = {one.path: one.problem for one in found.notebooks}
    assert problems.pop("good.ipynb") is None
    assert "has the field 'titel'. There are: name, title" in str(problems.pop("typo.ipynb"))
    assert "broken.community.yaml, line 2 cannot be read" in str(problems.pop("broken.ipynb"))
    assert "alias" in str(problems.pop("bomb.ipynb"))
    assert "is a link" in str(problems.pop("linked.ipynb"))
    assert "20.0 MB is the most" in str(problems.pop("large.ipynb"))
    assert problems == {}
    assert not any("Not the repository's" in one.content.decode() for one in found.notebooks)


def test_submodules_filters_and_hooks_have_no_effect(
    server: GitServer, reader: RepositoryReader, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    server.commit("inner", {"inside.ipynb": text(), "inside.community.yaml": SIDECAR})
    server.commit("outer", {"depth.ipynb": text(), "depth.community.yaml": SIDECAR})
    server.git("outer", "submodule", "--quiet", "add", server.url("inner"), "inner")
    server.commit(
        "outer", {".gitattributes": "*.ipynb filter=lfs diff=lfs\n", ".lfsconfig": "[lfs]\nurl = http://x\n"}
    )
    hook = server.root / "outer" / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    server.requests.clear()
    found = reader.read(server.url("outer"), "", "", None)
    assert found is not None
    assert [one.path for one in found.notebooks] == ["depth.ipynb"]
    assert not any("inner" in path for path in server.requests)
    assert not mark.exists()


def test_what_cannot_be_read_says_why(server: GitServer, reader: RepositoryReader) -> None:
    server.commit("plain", {"depth.ipynb": text(), "depth.community.yaml": SIDECAR})

    def refused(url: str, branch: str = "") -> str:
        with pytest.raises(RefusedError) as caught:
            reader.read(url, branch, "", None)
        return str(caught.value)

    assert "no repository at this address" in refused(server.url("nowhere"))
    assert "no such branch" in refused(server.url("plain"), "elsewhere")
    server.instead["/locked"] = (401, {"WWW-Authenticate": 'Basic realm="x"'})
    assert "asks for a password" in refused(server.url("locked"))
    # Another address is not followed: it might be one that only the platform can reach.
    server.instead["/moved"] = (302, {"Location": server.url("plain") + "/info/refs?service=git-upload-pack"})
    server.requests.clear()
    assert "leads to another one" in refused(server.url("moved"))
    assert len(server.requests) == 1


def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        reader = RepositoryReader(allowed=frozenset({origin}), seconds=1)
        with pytest.raises(RefusedError, match="takes too long"):
            reader.read(f"{origin}/x", "", "", None)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "git://example.org/x",
        "ssh://git@example.org/x",
        "file:///etc/passwd",
        "ext::sh -c id",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://10.1/x",
        "https://example.org:8443/x",
        "https://ada:key@example.org/x",
        "https://ada@example.org/x",
        "https://example.org/x?y=z",
        "https://example.org/x y",
        "https://example.org/../x",
        "https://example.org/x\nHost: y",
        "https://example.org",
        "--upload-pack=id",
        "https://[bad/x",
        "",
    ],
)
def test_addresses_of_other_kinds_are_refused(url: str) -> None:
    with pytest.raises(RefusedError):
        check_url(url)


def test_an_address_is_written_in_one_way() -> None:
    assert check_url(" https://GitHub.com/Ada/Notebooks/ ") == "https://github.com/Ada/Notebooks"
    assert check_folder("/work/deep field/") == "work/deep field"
    for folder in ("../x", "a/../b", "-x", ".git"):
        with pytest.raises(RefusedError):
            check_folder(folder)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1",
        "::",
        "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "ff02::1", "255.255.255.255",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_a_host_within_a_private_network_is_refused(address: str) -> None:
    assert not is_public(address)
    # One private address among public ones is enough: the name's owner chooses which one is used.
    with pytest.raises(RefusedError, match="private network"):
        place_of("https://git.example.org/x", lookup=lambda host, port: ["140.82.121.4", address])


def test_git_goes_to_the_addresses_that_were_looked_at_and_to_no_others() -> None:
    place = place_of(
        "https://git.example.org/x", lookup=lambda host, port: ["140.82.121.4", "2606:50c0:8000::153"]
    )
    assert place.pin == "git.example.org:443:140.82.121.4,[2606:50c0:8000::153]"

    def unknown(host: str, port: int) -> list[str]:
        raise OSError

    with pytest.raises(UnavailableError, match="no host git"):
        place_of("https://git.example.org/x", lookup=unknown)


def test_the_pin_decides_where_git_connects(server: GitServer) -> None:
    """A name that nobody could look up is read at the pinned address: Git asks no name server."""
    from romanhub.community.repositories import reader as module

    server.commit("plain", {"depth.ipynb": text(), "depth.community.yaml": SIDECAR})
    port = server.http.server_address[1]
    request = {
        "url": f"http://git.nowhere.invalid:{port}/plain", "scheme": "http", "branch": "", "folder": "",
        "known": None,         "pin": f"git.nowhere.invalid:{port}:127.0.0.1", "authorities": "",
    }  # fmt: skip
    answer = module.RepositoryReader()._ask(request)
    assert [one["path"] for one in answer["notebooks"]] == ["depth.ipynb"]
