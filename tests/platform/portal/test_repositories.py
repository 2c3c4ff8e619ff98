"""Registered repositories by API and on their page, with a real Git repository behind HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from romanhub.community.settings import CommunitySettings
from romanhub.models.community import State
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import PortalSettings

from tests.platform.community.hostile import markdown, notebook
from tests.platform.community.shelf import Shelf, full_shelf
from tests.platform.portal.world import PREFIX, Clock, HubStandIn, Reader, bearer, open_account
from tests.support.git_server import GitServer, git_server

API = f"{PREFIX}api/v1/community/repositories"
SIDECAR = """
title: Depth of the survey
abstract: How deep each filter of the survey goes, by the sources that are in it.
authors: [{name: Ada}]
licence: MIT
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return full_shelf(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as running:
        text = json.dumps(notebook(markdown("# Depth")))
        running.commit("work", {"depth-of-field.ipynb": text, "depth-of-field.community.yaml": SIDECAR})
        yield running


@pytest.fixture
async def web(
    settings: PortalSettings, ledger: Ledger, hub: HubStandIn, clock: Clock, shelf: Shelf, server: GitServer
) -> AsyncIterator[httpx.AsyncClient]:
    community = CommunitySettings.model_validate(
        {"database_url": "sqlite:///unused", "git_origins": f"https://git.example.org:8443, {server.origin}"}
    )
    given = settings.model_copy(update={"community": community})
    async with httpx.AsyncClient(transport=httpx.MockTransport(hub.answer)) as http:
        app = create_app(
            given,
            ledger=ledger,
            tiers=TiersFile(given.tiers_file),
            hub=HubClient(given.hub, http),
            clock=clock,
            catalogue=shelf.catalogue,
        )
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://romanhub.test") as client:
            yield client


async def test_a_notebooks_token_registers_and_nothing_goes_public_by_it(
    web: httpx.AsyncClient, hub: HubStandIn, shelf: Shelf, server: GitServer
) -> None:
    ada, bob = bearer(hub.add("ada")), bearer(hub.add("bob"))
    asked = {"url": server.url("work"), "at_once": True}
    assert (await web.post(API, json=asked, headers=ada)).status_code == 422
    made = await web.post(API, json={"url": server.url("work")}, headers=ada)
    assert (made.status_code, made.json()["drafts"]) == (201, ["depth-of-field"])
    assert made.json()["at_once"] is False
    number = made.json()["id"]
    assert (await web.get(API, headers=ada)).json()["repositories"][0]["problem"] is None
    assert (await web.get(API, headers=bob)).json() == {"repositories": []}
    assert (await web.delete(f"{API}/{number}", headers=bob)).status_code == 404
    soon = await web.post(f"{API}/{number}/reads", headers=ada)
    assert soon.status_code == 409
    assert "half a minute" in soon.json()["detail"]
    refused = await web.post(API, json={"url": "https://169.254.169.254/x"}, headers=ada)
    assert refused.status_code == 422
    assert "public host" in refused.json()["detail"]
    assert (await web.delete(f"{API}/{number}", headers=ada)).status_code == 204
    assert shelf.catalogue.entry("depth-of-field", viewer="ada").state is State.DRAFT


async def test_its_page_shows_what_is_wrong_and_alone_lets_versions_go_public(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers, shelf: Shelf, server: GitServer
) -> None:
    open_account(ledger, tiers, "ada")
    ada = Reader(web, hub.add("ada"))
    page = "community-repositories"
    assert "No repository." in await ada.open(page)
    server.commit("work", {"typo.ipynb": json.dumps(notebook(markdown("x"))), "typo.community.yaml": "titel: x"})
    await ada.send(page, page, {"url": server.url("work"), "at_once": "yes", "prefix": "ada"})
    shown = await ada.open(page)
    assert "go public by themselves" in shown
    assert "has the field &#39;titel&#39;" in shown
    assert shelf.catalogue.entry("ada-depth-of-field", viewer="ada").state is State.DRAFT
    await ada.send(page, f"{page}/at-once", {"number": "1", "at_once": "no"})
    assert "wait for you" in await ada.open(page)
    # Without the page's ticket nothing is done for the browser's session.
    forged = await web.post(f"{PREFIX}{page}/at-once", data={"number": "1", "at_once": "yes"})
    assert forged.status_code == 403
    await ada.send(page, f"{page}/removal", {"number": "1"})
    assert "No repository." in await ada.open(page)
    refused = await ada.send(page, page, {"url": "http://example.org/x"}, status=422)
    assert "https://" in refused
