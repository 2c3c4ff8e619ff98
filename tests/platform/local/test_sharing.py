"""Sharing a notebook on a real platform: from Lab in a browser, and from a terminal of a person's server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.support.browser import chromium, sign_in, take
from tests.support.person import Person
from tests.support.platform import Platform

API = "/services/portal/api/v1/community"

#: How long an answer may take on a busy machine, in seconds.
PATIENCE = 180.0
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def vera(platform: Platform) -> Iterator[Person]:
    """Vera, with a server that runs and two notebooks in her home."""
    person = Person(platform.url, "vera")
    person.sign_in()
    assert person.start_server(size="small").is_success
    write(person, "survey.ipynb", "# How deep the survey is")
    write(person, "secret.ipynb", "token = 'ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8'")
    yield person
    person.stop_server()


def write(person: Person, name: str, source: str, **metadata: Any) -> None:
    """Write a notebook into somebody's home, by their server's own API."""
    kernel = {"name": "roman", "display_name": "Roman", "language": "python"}
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": source}
    notebook = {
        "nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel, **metadata}, "cells": [cell],
    }  # fmt: skip
    answer = person.web.put(
        f"/user/{person.name}/api/contents/{name}",
        json={"type": "notebook", "format": "json", "content": notebook},
        headers={"Authorization": f"token {person.token()}"},
    )
    assert answer.is_success, answer.text


def entry(person: Person, name: str) -> dict[str, Any]:
    """An entry of the catalogue, as its owner sees it."""
    answer = person.web.get(f"{API}/entries/{name}", headers={"Authorization": f"token {person.token()}"})
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()["entry"]
    return found


def open_notebook(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/user/vera/lab/tree/{name}?reset")
    expect(page.get_by_text("Roman | Idle")).to_be_visible(timeout=PATIENCE * 1000)


def test_a_notebook_is_shared_from_lab_and_refused_with_the_whole_reason(platform: Platform, vera: Person) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, platform.url, "vera")
        open_notebook(page, platform.url, "survey.ipynb")
        page.locator('.jp-NotebookPanel-toolbar [data-command="romanhub:share"]').click()
        form = page.locator(".romanhub-share")
        expect(form.locator("[name=authors]")).to_have_value("vera")
        take(page, "share-dialog")
        form.locator("[name=title]").fill("How deep the survey is")
        form.locator("[name=abstract]").fill("The depth of each filter of the survey.")
        form.locator("[name=authors]").fill("Vera Rubin 0000-0002-1825-0097")
        form.locator("[name=licence]").fill("BSD-3-Clause")
        form.locator("[name=tags]").fill("photometry, depth")
        page.get_by_role("button", name="Send the draft").click()
        said = page.get_by_text("Draft 1 of survey is in the catalogue, and you alone see it.").first
        expect(said).to_be_visible(timeout=2 * PATIENCE * 1000)
        take(page, "share-sent")
        if len(page.context.pages) == 1:
            # A browser lets a tab open by itself for some seconds after a click, and looking took longer.
            with page.context.expect_page():
                page.get_by_role("button", name="Open its page").first.click()
        opened = page.context.pages[1]
        opened.wait_for_url(f"{platform.url}/services/portal/community/survey/draft")
        opened.close()

        draft = entry(vera, "survey")
        assert draft["state"] == "draft"
        assert draft["pending"]["sidecar"]["authors"] == [{"name": "Vera Rubin", "orcid": "0000-0002-1825-0097"}]
        assert draft["pending"]["sidecar"]["tags"] == ["depth", "photometry"]

        # What is refused is told in full, and nothing that was written is lost. The author is known by now.
        open_notebook(page, platform.url, "secret.ipynb")
        page.locator('.jp-NotebookPanel-toolbar [data-command="romanhub:share"]').last.click()
        expect(form.locator("[name=authors]")).to_have_value("Vera Rubin 0000-0002-1825-0097")
        form.locator("[name=title]").fill("A secret")
        page.get_by_role("button", name="Send the draft").click()
        refusal = page.get_by_text("There are keys or tokens in the notebook, which everybody could use")
        expect(refusal).to_be_visible(timeout=PATIENCE * 1000)
        expect(refusal).to_contain_text("cell 1")
        take(page, "share-refused")
        page.get_by_role("button", name="Close", exact=True).click()
        expect(form.locator("[name=title]")).to_have_value("A secret")
        page.get_by_role("button", name="Cancel").click()


def test_a_page_of_somebody_elses_cannot_make_drafts_with_the_servers_token(
    platform: Platform, vera: Person
) -> None:
    """The server's own protection holds: a request with the session's cookie alone changes nothing."""
    body = {"path": "survey.ipynb", "fields": {"title": "Forged"}}
    forged = vera.web.post("/user/vera/romanhub/community/draft", json=body)
    assert forged.status_code == 403
    stranger = Person(platform.url, "wanda")
    stranger.sign_in()
    known = stranger.web.get("/user/vera/romanhub/community/draft", params={"path": "survey.ipynb"})
    assert known.status_code in (403, 404)
    outside = vera.web.get(
        "/user/vera/romanhub/community/draft",
        params={"path": "../wanda/survey.ipynb"},
        headers={"Authorization": f"token {vera.token()}"},
    )
    assert outside.status_code == 409


async def test_a_terminal_of_the_server_has_the_command(platform: Platform, vera: Person) -> None:
    write(vera, "colours.ipynb", "# Colours")
    token = vera.token()
    header = {"Authorization": f"token {token}"}
    made = vera.web.post("/user/vera/api/terminals", headers=header)
    assert made.is_success, made.text
    address = f"{platform.url.replace('http', 'ws', 1)}/user/vera/terminals/websocket/{made.json()['name']}"
    socket = await websocket_connect(HTTPRequest(address, headers=header, connect_timeout=60))
    wide = json.dumps(["set_size", 40, 300, 800, 3000])
    await socket.write_message(wide)
    await socket.write_message(json.dumps(["stdin", "romanhub publish colours.ipynb\r"]))
    said = ""
    answers = {
        "Title:": "Colours of stars", "Abstract": "The colours of all stars in the field.", "Authors": "Vera",
        "Licence": "MIT",
    }  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    while "make it public on its page" not in said:
        assert time.monotonic() < deadline, said
        message = await socket.read_message()
        assert message is not None, said
        kind, *content = json.loads(message)
        said += content[0] if kind == "stdout" else ""
        for question in list(answers):
            if question in said:
                await socket.write_message(json.dumps(["stdin", f"{answers.pop(question)}\r"]))
    socket.close()
    assert answers == {}
    found = entry(vera, "colours")
    assert found["pending"]["sidecar"]["title"] == "Colours of stars"

    # In a cell of a notebook, too; and what is public is found and copied.
    published = httpx.post(
        f"{platform.url}{API}/entries/colours/acts/publish", json={}, headers=header, trust_env=False
    )
    assert published.is_success, published.text
    kernel = await vera.kernel()
    cell = (
        "from romanhub import community\n"
        "print(community.search('colours'))\n"
        "print(community.copy('colours').name)\n"
        "import subprocess\n"
        "print(subprocess.run(['romanhub', 'publish', 'colours.ipynb', '--json'], capture_output=True, text=True,"
        " stdin=subprocess.DEVNULL))"
    )
    done = await kernel.run(cell)
    kernel.close()
    assert not done.error, done.error
    assert "<notebook colours: Colours of stars; public, version 1>" in done.text
    assert "colours-2.ipynb" in done.text
    assert '"number": 2' in done.text.replace("\\n", "\n").replace('\\"', '"'), done.text


def test_a_copy_says_that_there_is_a_newer_version(platform: Platform, vera: Person) -> None:
    write(vera, "old.ipynb", "# Old", romanhub={"entry": "colours", "version": 1, "digest": "a" * 64})
    header = {"Authorization": f"token {vera.token()}"}
    draft = vera.web.get(
        "/user/vera/romanhub/community/newer?entry=colours&version=1&digest=" + "a" * 64, headers=header
    )
    assert draft.json() == {"newer": None}
    published = httpx.post(
        f"{platform.url}{API}/entries/colours/acts/publish", json={}, headers=header, trust_env=False
    )
    assert published.is_success, published.text
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, platform.url, "vera")
        open_notebook(page, platform.url, "old.ipynb")
        banner = page.locator(".romanhub-newer")
        expect(banner).to_contain_text("A newer version exists: this is a copy of version 1 of colours.")
        box = banner.bounding_box()
        assert box
        assert box["height"] > 20, "Lab gave it no room"
        expect(banner.get_by_role("link", name="See version 2")).to_have_attribute(
            "href", f"{platform.url}/services/portal/community/colours"
        )
        take(page, "share-newer")


def test_a_link_in_a_paper_opens_a_copy_in_a_server_that_it_starts(platform: Platform, vera: Person) -> None:
    """For somebody who has neither a server nor a copy; a second click opens that copy, until it is changed."""
    link = f"{platform.url}/services/portal/open/colours"
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, platform.url, "wilma")
        page.goto(link)
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/user/wilma/lab/tree/colours.ipynb", timeout=PATIENCE * 1000)
        expect(page.locator(".jp-NotebookPanel")).to_be_visible()
        wilma = Person(platform.url, "wilma")
        wilma.sign_in()
        header = {"Authorization": f"token {wilma.token()}"}
        contents = "/user/wilma/api/contents/colours.ipynb"
        page.goto(link)
        page.wait_for_url("**/user/wilma/lab/tree/colours.ipynb", timeout=PATIENCE * 1000)
        copied = wilma.web.get(contents, headers=header).json()["content"]
        assert copied["metadata"]["romanhub"]["entry"] == "colours"
        copied["cells"][0]["source"] = "# Mine by now"
        changed = {"type": "notebook", "content": copied}
        wilma.web.put(contents, headers=header, json=changed).raise_for_status()
        page.goto(link)
        page.wait_for_url("**/user/wilma/lab/tree/colours-2.ipynb", timeout=PATIENCE * 1000)
    assert wilma.web.get(contents, headers=header).json()["content"]["cells"][0]["source"] == "# Mine by now"
    used = vera.web.get(f"{API}/use", headers={"Authorization": f"token {vera.token()}"}).json()["entries"]
    assert {one["name"]: one["opens"] for one in used}["colours"] == 1
    wilma.stop_server()
