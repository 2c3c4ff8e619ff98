from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from romanhub.portal.hub import CodeRefusedError, HubClient, HubUnavailableError
from romanhub.portal.settings import HubSettings

from tests.platform.portal.world import SERVICE_TOKEN, Clock, HubStandIn

SETTINGS = HubSettings.model_validate(
    {"api_token": SERVICE_TOKEN, "identity_seconds": 60, "deadline_seconds": 0.2}
)


def client_of(hub: HubStandIn, clock: Clock) -> HubClient:
    http = httpx.AsyncClient(transport=httpx.MockTransport(hub.answer))
    return HubClient(SETTINGS, http, monotonic=lambda: clock.now.timestamp())


async def test_an_answer_is_kept_for_a_minute_and_then_asked_again(hub: HubStandIn, clock: Clock) -> None:
    client = client_of(hub, clock)
    token = hub.add("ada", groups=["roman-researchers"])

    first = await client.identify(token)
    clock.advance(seconds=59)
    second = await client.identify(token)

    assert first is not None
    assert (first.name, first.groups, second) == ("ada", ("roman-researchers",), first)
    assert len(hub.asked) == 1

    clock.advance(seconds=2)
    hub.people.clear()
    assert await client.identify(token) is None


async def test_an_answer_does_not_outlive_the_hub_s_session(hub: HubStandIn, clock: Clock) -> None:
    client = client_of(hub, clock)
    token = hub.add("ada")
    assert await client.identify(token, "session-1")

    hub.people.clear()

    assert await client.identify(token, "session-2") is None


async def test_nobody_is_kept_for_a_token_that_the_hub_does_not_know(hub: HubStandIn, clock: Clock) -> None:
    client = client_of(hub, clock)
    assert await client.identify("token-of-ada") is None

    hub.add("ada")

    assert await client.identify("token-of-ada")


@pytest.mark.parametrize(
    "broken",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(502),
        httpx.Response(500, json={"message": "oh"}),
        httpx.Response(200, text="<html>a proxy's page</html>"),
        httpx.Response(200, json={"name": None}),
    ],
    ids=repr,
)
async def test_a_hub_that_does_not_answer_is_not_a_person_that_it_does_not_know(
    hub: HubStandIn, clock: Clock, broken: httpx.Response | Exception
) -> None:
    hub.broken = broken
    client = client_of(hub, clock)

    with pytest.raises(HubUnavailableError):
        await client.identify("token-of-ada")
    with pytest.raises(HubUnavailableError):
        await client.token_for_code("code", "verifier")


async def test_a_hub_that_hangs_costs_no_more_than_the_deadline() -> None:
    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("nobody waits for this")

    client = HubClient(SETTINGS, httpx.AsyncClient(transport=httpx.MockTransport(hang)))
    started = time.monotonic()

    with pytest.raises(HubUnavailableError):
        await client.identify("token-of-ada")

    assert time.monotonic() - started < 2


async def test_a_code_that_was_used_is_refused(hub: HubStandIn, clock: Clock) -> None:
    client = client_of(hub, clock)
    hub.codes["once"] = hub.add("ada")

    assert await client.token_for_code("once", "verifier") == "token-of-ada"
    with pytest.raises(CodeRefusedError):
        await client.token_for_code("once", "verifier")
