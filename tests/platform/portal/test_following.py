"""An act that is followed: what comes while it goes on, what comes last, and that it goes on by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

from pydantic import BaseModel
from romanhub.community.errors import ConflictError
from romanhub.portal.following import Told, followed


class Far(BaseModel):
    done: int


def lines_of(act: Any) -> AsyncIterator[str]:
    return cast(AsyncIterator[str], followed(act).body_iterator)


async def test_it_tells_how_far_it_is_while_it_goes_on_and_then_what_came_of_it() -> None:
    goes_on = asyncio.Event()

    async def act(told: Told) -> Far:
        await asyncio.to_thread(told, Far(done=1))
        await asyncio.to_thread(told, Far(done=2))
        await goes_on.wait()
        return Far(done=3)

    lines = lines_of(act)
    assert json.loads(await anext(lines)) == {"progress": {"done": 2}}
    assert json.loads(await anext(lines)) == {"progress": {"done": 2}}, "it says so again, so that nobody hangs up"
    goes_on.set()
    rest = [json.loads(line) async for line in lines]
    assert rest[-1] == {"result": {"done": 3}}
    assert all("progress" in line for line in rest[:-1])


async def test_what_went_wrong_is_the_last_line() -> None:
    async def act(told: Told) -> Far:
        raise ConflictError("There is no room left.")

    (line,) = [json.loads(line) async for line in lines_of(act)]
    assert (line["problem"]["status"], line["problem"]["detail"]) == (409, "There is no room left.")


async def test_it_goes_on_when_nobody_follows_any_more() -> None:
    goes_on, through = asyncio.Event(), asyncio.Event()

    async def act(told: Told) -> Far:
        told(Far(done=1))
        await goes_on.wait()
        through.set()
        return Far(done=2)

    lines = lines_of(act)
    await anext(lines)
    await cast(Any, lines).aclose()
    goes_on.set()
    await asyncio.wait_for(through.wait(), 60)
