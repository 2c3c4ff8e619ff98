"""The community's catalogue as a program meets it: with the token of a notebook, of a person and of a curator."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from romanhub.community.settings import CommunitySettings
from romanhub.portal import scopes
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import PortalSettings

from tests.platform.community.shelf import Shelf, file, full_shelf, sidecar
from tests.platform.portal.world import Clock, HubStandIn

API = "/services/portal/api/v1/community"
PERSON = ("access:services!service=portal", scopes.PUBLISH)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return full_shelf(tmp_path)


@pytest.fixture
async def web(
    settings: PortalSettings, ledger: Ledger, hub: HubStandIn, clock: Clock, shelf: Shelf
) -> AsyncIterator[httpx.AsyncClient]:
    community = CommunitySettings(database_url="sqlite:///unused", curators="careful-readers")
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


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def draft(source: str = "depth()", **more: Any) -> dict[str, Any]:
    return {"file": base64.b64encode(file(source)).decode(), "sidecar": sidecar(**more)}


async def test_a_notebook_makes_drafts_and_nothing_more(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    server = bearer(hub.add("ada"))
    sent = await web.put(f"{API}/entries/depth/draft", json=draft(abstract=""), headers=server)
    assert sent.status_code == 200
    assert set(sent.json()["missing"]) == {"abstract"}
    for answer in (
        await web.post(f"{API}/entries/depth/acts/publish", json={}, headers=server),
        await web.put(f"{API}/entries/bob/star", headers=server),
    ):
        assert answer.status_code == 403
        assert scopes.PUBLISH in answer.json()["detail"]
    others = await web.get(f"{API}/entries/depth", headers=bearer(hub.add("eve")))
    assert others.status_code == 404


async def test_publish_find_star_cite(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    ada = bearer(hub.add("ada", scopes=PERSON))
    await web.put(f"{API}/entries/depth/draft", json=draft(tags=["stars"]), headers=ada)
    lacking = await web.put(f"{API}/entries/lacking/draft", json=draft(licence=""), headers=ada)
    assert lacking.status_code == 200
    refused = await web.post(f"{API}/entries/lacking/acts/publish", json={}, headers=ada)
    assert refused.status_code == 409
    assert "licence" in refused.json()["detail"]
    public = await web.post(f"{API}/entries/depth/acts/publish", json={}, headers=ada)
    assert public.json()["state"] == "public"

    eve = bearer(hub.add("eve", scopes=PERSON))
    found = (await web.get(f"{API}/entries", params={"words": "depth", "tag": "stars"}, headers=eve)).json()
    assert [card["name"] for card in found["cards"]] == ["depth"]
    assert (await web.put(f"{API}/entries/depth/star", headers=eve)).json()["entry"]["stars"] == 1
    opened = await web.post(f"{API}/entries/depth/versions/1/opens", headers=eve)
    assert opened.json() == {"counted": True}
    saved = await web.get(f"{API}/entries/depth/versions/1/file", headers=eve)
    assert saved.content == file("depth()")
    assert saved.headers["content-disposition"].startswith("attachment")
    cited = (await web.get(f"{API}/entries/depth/versions/1/citation", headers=eve)).json()
    assert "http://romanhub.test/services/portal/community/depth" in cited["bibtex"]
    (use,) = [
        one for one in (await web.get(f"{API}/use", headers=ada)).json()["entries"] if one["name"] == "depth"
    ]
    assert (use["stars"], use["opens"]) == (1, 1)


async def test_curators_are_a_group_of_the_hub(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    eve = bearer(hub.add("eve", scopes=PERSON))
    cleo = bearer(hub.add("cleo", scopes=PERSON, groups=["careful-readers"]))
    refused = await web.post(f"{API}/entries/ada/acts/review", json={}, headers=eve)
    assert refused.status_code == 403
    assert (await web.post(f"{API}/entries/ada/acts/review", json={}, headers=cleo)).json()["state"] == "reviewed"
    wordless = await web.post(f"{API}/entries/ada/acts/withdraw", json={}, headers=cleo)
    assert wordless.status_code == 422


async def test_what_is_too_much_is_not_read(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    ada = bearer(hub.add("ada"))
    large = {"file": "A" * 27_000_000, "sidecar": {}}
    answer = await web.put(f"{API}/entries/depth/draft", json=large, headers=ada)
    assert answer.status_code == 413
    deep = await web.put(f"{API}/entries/depth/draft", content="[" * 100_000, headers=ada)
    assert deep.status_code == 422
    nobody = await web.put(f"{API}/entries/depth/draft", json=large)
    assert nobody.status_code == 401


async def test_pages_of_a_search_are_linked(web: httpx.AsyncClient, hub: HubStandIn, shelf: Shelf) -> None:
    for number in range(25):
        shelf.publish("bob", f"entry-{number}")
    eve = bearer(hub.add("eve"))
    first = await web.get(f"{API}/entries?words=entry&page=1", headers=eve)
    assert first.headers["link"].endswith('words=entry&page=2>; rel="next"')
    assert "link" not in (await web.get(f"{API}/entries?words=entry&page=2", headers=eve)).headers
