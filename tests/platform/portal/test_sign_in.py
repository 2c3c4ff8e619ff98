"""Signing in and out, watched request by request. The same with a real hub is in test_behind_hub."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger

from tests.platform.portal.world import PREFIX, HubStandIn, Reader, bearer, open_account

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


def begun(answer: httpx.Response) -> dict[str, str]:
    """What the portal asks of the hub when it sends a browser there."""
    assert answer.status_code == 303, answer.text
    address = urlsplit(answer.headers["location"])
    assert address.path == "/hub/api/oauth2/authorize"
    return {name: values[0] for name, values in parse_qs(address.query).items()}


async def come_back(web: httpx.AsyncClient, hub: HubStandIn, token: str, asked: dict[str, str]) -> httpx.Response:
    """Come back from the hub as it sends browsers back."""
    hub.codes["code"] = token
    return await web.get(f"{PREFIX}oauth_callback", params={"code": "code", "state": asked["state"]})


async def test_who_is_not_signed_in_is_sent_to_the_hub_and_comes_back_to_the_page_asked_for(
    web: httpx.AsyncClient, hub: HubStandIn
) -> None:
    token = hub.add("ada")

    asked = begun(await web.get(f"{PREFIX}?before=7", headers=NAVIGATION))
    assert asked["client_id"] == "service-portal"
    assert asked["redirect_uri"] == f"{PREFIX}oauth_callback"
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    back = await come_back(web, hub, token, asked)

    assert (back.status_code, back.headers["location"]) == (303, f"{PREFIX}?before=7")
    spent = httpx.QueryParams(hub.asked[-1].content.decode())
    digest = hashlib.sha256(spent["code_verifier"].encode()).digest()
    assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    page = await web.get(PREFIX, headers=NAVIGATION)
    assert page.status_code == 200
    assert "Hello, ada" in page.text


async def test_who_sends_a_form_after_the_session_ended_comes_back_to_its_page(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    open_account(ledger, tiers, "ada")
    for page, back in (
        (f"http://portal{PREFIX}scratch?x=1", f"{PREFIX}scratch?x=1"),
        ("http://elsewhere/", PREFIX),
    ):
        token = hub.add("ada")
        ticket = re.search(r'name="ticket" value="([^"]+)"', await Reader(web, token).open("scratch"))
        assert ticket
        del hub.people[token]  # signed out of the hub, in another tab
        form = {"ticket": ticket[1], "back": "scratch"}
        asked = begun(await web.post(f"{PREFIX}scratch/price", data=form, headers=NAVIGATION | {"Referer": page}))
        answer = await come_back(web, hub, hub.add("ada"), asked)
        assert (answer.status_code, answer.headers["location"]) == (303, back)
        web.cookies.clear()


async def test_cookies_are_for_the_portal_alone_and_out_of_reach_of_scripts(
    web: httpx.AsyncClient, hub: HubStandIn
) -> None:
    away = await web.get(PREFIX)
    back = await come_back(web, hub, hub.add("ada"), begun(away))

    cookies = [away.headers["set-cookie"], *back.headers.get_list("set-cookie")]
    assert len(cookies) == 3
    for cookie in cookies:
        assert f"; Path={PREFIX};" in f"{cookie};"
        assert "; HttpOnly" in cookie
        assert "; SameSite=Lax" in cookie
        assert "Secure" not in cookie
    assert "Max-Age=600" in cookies[0]
    assert not [name for name in web.cookies if "signin" in name], "a finished sign-in leaves nothing behind"


async def test_cookies_are_secure_where_the_browser_came_over_https(web: httpx.AsyncClient) -> None:
    away = await web.get(PREFIX, headers={"X-Forwarded-Proto": "https,http"})

    assert "; Secure" in away.headers["set-cookie"]


async def test_two_tabs_can_sign_in_at_once(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    token = hub.add("ada")
    first, second = begun(await web.get(PREFIX)), begun(await web.get(f"{PREFIX}admin"))

    assert (await come_back(web, hub, token, first)).headers["location"] == PREFIX
    assert (await come_back(web, hub, token, second)).headers["location"] == f"{PREFIX}admin"


@pytest.mark.parametrize(
    "query",
    [
        {"code": "code", "state": "somebody-else-s"},
        {"code": "code"},
        {"state": "x"},
        {},
        {"error": "access_denied", "error_description": "<b>no</b>"},
    ],
    ids=["foreign state", "no state", "no code", "nothing", "declined"],
)
async def test_an_answer_to_no_sign_in_of_this_browser_signs_nobody_in(
    web: httpx.AsyncClient, hub: HubStandIn, query: dict[str, str]
) -> None:
    hub.codes["code"] = hub.add("mallory")
    await web.get(PREFIX)

    answer = await web.get(f"{PREFIX}oauth_callback", params=query)

    assert answer.status_code == 400
    assert "Signing in did not work" in answer.text
    assert "Sign in again" in answer.text
    assert "<b>no</b>" not in answer.text
    assert "romanhub-portal" not in web.cookies
    assert hub.codes == {"code": "token-of-mallory"}, "the code was not spent"


async def test_a_code_that_the_hub_does_not_take_signs_nobody_in(web: httpx.AsyncClient) -> None:
    asked = begun(await web.get(PREFIX))

    answer = await web.get(f"{PREFIX}oauth_callback", params={"code": "stale", "state": asked["state"]})

    assert answer.status_code == 400
    assert "romanhub-portal" not in web.cookies


async def test_signing_in_never_leads_away_from_the_portal(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    asked = begun(await web.get(PREFIX))
    name = next(name for name in web.cookies if "signin" in name)
    web.cookies.clear()
    web.cookies.set(name, f"{asked['state']}:https%3A//elsewhere.example/", domain="romanhub.test", path=PREFIX)

    back = await come_back(web, hub, hub.add("ada"), asked)

    assert back.headers["location"] == PREFIX


@pytest.mark.parametrize("path", ["", "api/me", "api/scratch", "api/accounts"])
async def test_a_script_cannot_use_the_browser_s_session(
    web: httpx.AsyncClient, hub: HubStandIn, path: str
) -> None:
    web.cookies.set("romanhub-portal", hub.add("ada", scopes=("access:services", "admin-ui")))

    for mode in ("cors", "same-origin", "no-cors", "websocket"):
        answer = await web.get(f"{PREFIX}{path}", headers={"Sec-Fetch-Mode": mode})
        assert answer.status_code == (401 if path else 303)


async def test_a_person_may_open_the_api_s_addresses_in_their_browser(
    web: httpx.AsyncClient, hub: HubStandIn
) -> None:
    web.cookies.set("romanhub-portal", hub.add("ada"))

    answer = await web.get(f"{PREFIX}api/me", headers=NAVIGATION)

    assert answer.json()["name"] == "ada"
    assert "sandbox" in answer.headers["content-security-policy"], "no window that opens it can read it"


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic YWRhOmFkYQ==", "Bearer two words", "Bearer t\u00f6ken"]
)
async def test_a_header_that_is_no_token_is_refused_whatever_the_cookie_says(
    web: httpx.AsyncClient, hub: HubStandIn, header: str
) -> None:
    web.cookies.set("romanhub-portal", hub.add("ada"))

    answer = await web.get(f"{PREFIX}api/me", headers=[(b"authorization", header.encode("latin-1"))])

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_session_that_ended_at_the_hub_is_signed_in_anew(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    web.cookies.set("romanhub-portal", "ended")

    begun(await web.get(PREFIX))


async def test_without_the_scope_nothing_is_shown(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    token = hub.add("ada", scopes=("access:services!service=another", "read:users:name!user=ada"))

    api = await web.get(f"{PREFIX}api/me", headers=bearer(token))
    page = await web.get(PREFIX, headers=bearer(token))

    assert api.status_code == page.status_code == 403
    assert "access:services!service=portal" in api.json()["detail"]
    assert "Sign out" in page.text


async def test_a_service_of_the_hub_is_not_the_person_of_the_same_name(
    web: httpx.AsyncClient, hub: HubStandIn
) -> None:
    token = hub.add("ada", kind="service", scopes=("access:services",))

    answers = [
        await web.get(f"{PREFIX}api/{path}", headers=bearer(token)) for path in ("me", "statement", "scratch")
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert (await web.get(f"{PREFIX}api/tiers", headers=bearer(token))).status_code == 200


async def test_signing_out_forgets_the_session_and_goes_on_to_the_hub(
    web: httpx.AsyncClient, hub: HubStandIn
) -> None:
    token = hub.add("ada")
    await come_back(web, hub, token, begun(await web.get(PREFIX)))
    assert (await web.get(PREFIX)).status_code == 200

    out = await web.get(f"{PREFIX}logout")
    hub.people.clear()

    assert (out.status_code, out.headers["location"]) == (303, "/hub/logout")
    assert "romanhub-portal" not in web.cookies
    assert (await web.get(f"{PREFIX}api/me", headers=bearer(token))).status_code == 401, "asked anew"


@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "not signed in"])
async def test_a_hub_that_is_down_is_said_so(web: httpx.AsyncClient, hub: HubStandIn, signed_in: bool) -> None:
    token = hub.add("ada")
    if signed_in:
        web.cookies.set("romanhub-portal", token)
    hub.broken = httpx.ConnectError("refused")

    page = await web.get(PREFIX, headers=NAVIGATION)
    api = await web.get(f"{PREFIX}api/me", headers=bearer(token))

    assert page.status_code == api.status_code == 503
    assert page.headers["retry-after"] == "5"
    assert "The hub is not answering" in page.text
    assert "Servers that run are not affected." in page.text
    assert "Traceback" not in page.text
    assert api.json()["title"] == "The hub is not answering"
