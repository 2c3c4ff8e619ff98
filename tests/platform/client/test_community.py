"""Sharing from a user's server: the notebook and its sidecar, the function, the command, what Lab asks."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("roman_datamodels", reason="the notebook's side is tested in the analysis environment")

import yaml
from romanhub.client import community, sharing
from romanhub.client.command import romanhub
from romanhub.client.errors import CommunityRefusedError
from romanhub.client.notebookfile import read_notebook_file
from romanhub.client.sidecars import SidecarError, entry_name, parse_sidecar
from romanhub.models.community import Provenance

DRAFTS = "api/v1/community/entries/survey/draft"
MISSING = {"abstract": "What it does and for whom, in a few sentences."}
PROBLEM = "application/problem+json"


def notebook(metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Depth"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata or {}, "cells": [cell]}


def version(number: int = 1, **sidecar: Any) -> dict[str, Any]:
    return {"number": number, "digest": "a" * 64, "sidecar": sidecar, "size": 3}


def drafted(missing: dict[str, str] | None = None, **sidecar: Any) -> dict[str, Any]:
    entry = {"name": "survey", "kind": "notebook", "state": "draft", "pending": version(**sidecar)}
    return {"entry": entry, "version": version(**sidecar), "missing": missing or {}}


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook in a home of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "survey.ipynb"
    path.write_text(json.dumps(notebook()))
    return path


def test_publish_sends_a_draft_and_says_what_is_to_be_done(portal, survey: Path, capsys) -> None:
    portal.answer(DRAFTS, drafted(MISSING, title="Depth"))
    draft = community.publish("survey.ipynb", title="Depth", authors=["Ada Lovelace 0000-0002-1825-0097"])
    sent = portal.sent[DRAFTS]
    assert json.loads(base64.b64decode(sent["file"])) == notebook()
    assert sent["sidecar"] == {
        "title": "Depth",
        "authors": [{"name": "Ada Lovelace", "orcid": "0000-0002-1825-0097"}],
    }
    assert sent["file_name"] == "survey.ipynb"
    said = capsys.readouterr().out
    assert "You alone see it" in said
    assert "abstract: What it does and for whom" in said
    assert draft.address == f"{portal.url}community/survey/draft"
    assert draft.address in said
    # What was said need not be said again, and can be read and changed in a file.
    kept = yaml.safe_load(Path("survey.community.yaml").read_text())
    assert kept["title"] == "Depth"
    community.publish(survey)
    assert portal.sent[DRAFTS]["sidecar"]["title"] == "Depth"


def test_the_page_has_the_address_that_browsers_know(portal, survey: Path, monkeypatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_HUB_URL", "https://roman.example.org/hub/")
    portal.answer(DRAFTS, drafted())
    address = community.publish(survey).address
    assert address == "https://roman.example.org/services/portal/community/survey/draft"


def test_a_refusal_is_the_portals_own_words(portal, survey: Path) -> None:
    why = "There are keys or tokens in the notebook, which everybody could use: a GitHub token in cell 3."
    for status in (403, 409, 413, 422):
        portal.answer(DRAFTS, {"detail": why}, status, PROBLEM)
        with pytest.raises(CommunityRefusedError) as caught:
            community.publish(survey, title="Depth")
        assert str(caught.value) == why
    assert not Path("survey.community.yaml").exists()


def test_the_sidecar_may_be_in_the_notebook(portal, survey: Path) -> None:
    survey.write_text(json.dumps(notebook({"romanhub": {"sidecar": {"title": "Inside", "name": "my-survey"}}})))
    path = DRAFTS.replace("survey", "my-survey")
    portal.answer(path, drafted())
    community.publish(survey)
    assert portal.sent[path]["sidecar"] == {"title": "Inside"}


def test_what_is_no_notebook_or_outside_its_folder_is_refused_before_anything_is_sent(
    portal, survey: Path
) -> None:
    folder = survey.parent / "shared"
    folder.mkdir()
    (folder / "linked.ipynb").symlink_to(survey)
    (folder / "notes.txt").write_text("x")
    (folder / "broken.ipynb").write_text("{")
    (folder / "own.ipynb").write_text(json.dumps(notebook()))
    (folder / "own.community.yaml").symlink_to("/etc/passwd")
    (folder / "large.ipynb").write_text(" " * 20_000_001)
    for name, reason in {
        "linked.ipynb": "outside its folder",
        "notes.txt": "has to end in .ipynb",
        "broken.ipynb": "is not JSON",
        "own.ipynb": "outside its folder",
        "large.ipynb": "Clear Outputs of All Cells",
        "nowhere.ipynb": "There is no file",
    }.items():
        with pytest.raises(CommunityRefusedError, match=reason):
            community.publish(folder / name)
    with pytest.raises(CommunityRefusedError, match="outside its folder"):
        read_notebook_file(folder / "../survey.ipynb", within=folder)
    assert portal.asked == []


def test_a_sidecar_that_cannot_be_read_says_where(survey: Path) -> None:
    beside = Path("survey.community.yaml")
    for text, reason in {
        "titel: Depth": "has the field 'titel'",
        "title: [": "line 1 cannot be read",
        "- a": "has to be a list of fields",
        "title: &a x\nabstract: *a": "alias",
        "x" * 64_001: "larger than 64 kB",
    }.items():
        beside.write_text(text)
        with pytest.raises((SidecarError, CommunityRefusedError), match=reason):
            read_notebook_file(survey)
    with pytest.raises(SidecarError, match="does not fit the others"):
        community.in_order({"authors": ["Ada 0000-0002-1825-0098"]}, "x")
    assert parse_sidecar("", "x") == {}


def test_names_are_made_of_what_there_is() -> None:
    assert entry_name("Tiefe der Übersicht (F158).v2") == "tiefe-der-ubersicht-f158-v2"
    with pytest.raises(SidecarError, match="No name"):
        entry_name("深さ")


def test_a_copy_remembers_what_it_is_of_and_writes_nothing_over(portal, survey: Path) -> None:
    entry = {"name": "survey", "kind": "notebook", "state": "public", "newest": version(3, title="Depth")}
    content = json.dumps(notebook({"romanhub": {"sidecar": {"title": "x"}}})).encode()
    portal.answer("api/v1/community/entries/survey", {"entry": entry})
    portal.answer("api/v1/community/entries/survey/versions/3/file", content)
    portal.answer("api/v1/community/entries/survey/versions/3/opens", {"counted": True})
    before = survey.read_text()
    path = community.copy("survey")
    assert path.name == "survey-2.ipynb"
    assert survey.read_text() == before
    source = read_notebook_file(path).source
    assert source == Provenance(entry="survey", version=3, digest="a" * 64)
    # What is there already and unchanged is opened again; what its owner has changed is not touched.
    assert community.copy("survey") == path
    path.write_text(path.read_text().replace('"metadata"', '"mine": 1, "metadata"', 1))
    assert community.copy("survey") == path, "its cells are the same"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cells": []}))
    changed = path.read_bytes()
    assert community.copy("survey").name == "survey-3.ipynb"
    assert path.read_bytes() == changed
    # The author's sidecar is not the copier's.
    assert read_notebook_file(path).fields == {}

    assert community.newer_than(source) is None
    assert portal.asked[-2].endswith("/opens")
    portal.answer("api/v1/community/entries/survey", {"entry": entry | {"newest": version(4, title="Depth")}})
    assert community.newer_than(source) == (4, f"{portal.url}community/survey")
    portal.answer("api/v1/community/entries/survey", {"detail": "There is no entry."}, 404, PROBLEM)
    assert community.newer_than(source) is None
    with pytest.raises(CommunityRefusedError, match="There is no entry"):
        community.copy("survey")


def test_search_and_mine(portal) -> None:
    card = {
        "name": "survey",
        "kind": "notebook",
        "title": "Depth",
        "abstract": "x",
        "state": "public",
        "version": 2,
    }
    portal.answer("api/v1/community/entries?words=deep+field&tag=photometry", {"cards": [card]})
    (found,) = community.search("deep field", tag="photometry")
    assert repr(found) == "<notebook survey: Depth; public, version 2>"
    with pytest.raises(ValueError, match="no facet 'colour'"):
        community.search(colour="red")
    portal.answer("api/v1/community/mine", {"entries": [drafted(title="Depth")["entry"]]})
    (own,) = community.mine()
    assert repr(own) == "<notebook survey: Depth; draft, not public yet>"


def test_the_command_answers_in_json_for_scripts(portal, survey: Path) -> None:
    """As it is delivered: the file that goes into users' environments, beside an interpreter."""
    portal.answer(DRAFTS, drafted(MISSING))
    script = Path(__file__).resolve().parents[3] / "images" / "roman" / "bin" / "romanhub"
    beside = survey.parent / "bin"
    beside.mkdir()
    (beside / "romanhub").write_bytes(script.read_bytes())
    (beside / "romanhub").chmod(0o755)
    (beside / "python").symlink_to(sys.executable)
    # A file of the user's that is called like a library is not imported.
    (survey.parent / "yaml.py").write_text("raise SystemExit('the wrong one')")
    where = ":".join(path for path in sys.path if path)
    done = subprocess.run(
        [str(beside / "romanhub"), "publish", "survey.ipynb", "--json", "--author", "Ada", "--tag", "depth"],
        env={**os.environ, "PYTHONPATH": where}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "name": "survey", "number": 1, "missing": MISSING, "address": f"{portal.url}community/survey/draft",
    }  # fmt: skip
    assert portal.sent[DRAFTS]["sidecar"] == {"authors": [{"name": "Ada"}], "tags": ["depth"]}
    portal.answer(DRAFTS, {"detail": "No."}, 422, PROBLEM)
    refused = subprocess.run(
        [str(beside / "romanhub"), "publish", "survey.ipynb"],
        env={**os.environ, "PYTHONPATH": where}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (refused.returncode, refused.stderr) == (1, "No.\n")


def test_a_terminal_is_asked_for_what_is_missing(portal, survey: Path) -> None:
    import pty

    portal.answer(DRAFTS, drafted())
    Path("survey.community.yaml").write_text("licence: MIT\n")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "romanhub.client.command", "publish", "survey.ipynb"]
    where = ":".join(path for path in sys.path if path)
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": where}, stdin=follower, stdout=follower, stderr=follower
    ) as running:
        os.close(follower)
        said = ""
        for question, answer in {
            "Title": "Depth", "Abstract": "How deep the survey goes.", "Authors": "Ada; Grace Hopper",
        }.items():  # fmt: skip
            while f"{question}" not in said:
                said += os.read(leader, 10_000).decode()
            os.write(leader, f"{answer}\n".encode())
        running.wait(60)
    os.close(leader)
    assert "Licence" not in said
    assert portal.sent[DRAFTS]["sidecar"] == {
        "title": "Depth", "abstract": "How deep the survey goes.",
        "authors": [{"name": "Ada"}, {"name": "Grace Hopper"}], "licence": "MIT",
    }  # fmt: skip


def test_what_labs_dialog_is_told_and_what_it_sends(portal, survey: Path) -> None:
    home = survey.parent
    known = sharing._known(home, "survey.ipynb", "Ada Lovelace")
    assert known["fields"] == {"authors": [{"name": "Ada Lovelace"}], "name": "survey"}
    assert "BSD-3-Clause" in known["licences"]
    portal.answer(DRAFTS, drafted())
    said = {"title": "Depth", "authors": ["Ada L. 0000-0002-1825-0097"], "licence": "MIT", "tags": ["depth"]}
    sharing._send(home, "survey.ipynb", said)
    # The next notebook is offered the same person and licence; this one all that was said of it.
    (home / "other.ipynb").write_text(json.dumps(notebook()))
    again = sharing._known(home, "other.ipynb", "Ada Lovelace")["fields"]
    assert again == {
        "authors": [{"name": "Ada L.", "orcid": "0000-0002-1825-0097"}], "licence": "MIT", "name": "other",
    }  # fmt: skip
    assert sharing._known(home, "survey.ipynb", "")["fields"]["tags"] == ["depth"]
    # A field that was emptied in the dialog is gone.
    sharing._send(home, "survey.ipynb", {**said, "tags": []})
    assert "tags" not in portal.sent[DRAFTS]["sidecar"]
    assert "tags" not in Path("survey.community.yaml").read_text()
    with pytest.raises(CommunityRefusedError, match="outside"):
        sharing._known(home / "bin", "../survey.ipynb", "")


def test_the_command_has_what_the_guide_says() -> None:
    assert sorted(romanhub.commands) == ["copy", "publish", "search"]
