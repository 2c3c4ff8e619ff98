"""Acts that take long, and tell how far they are: an answer of lines, each a JSON object.

A line is `{"progress": …}`, and the last one `{"result": …}` or `{"problem": …}`. Proxies between the portal and
whoever waits hang up on an answer that says nothing for a minute, so a line comes often, whether or not there is
anything new to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from romanhub.portal.failures import problem_of

#: What a program says that it accepts, if it wants to follow.
MEDIA_TYPE = "application/x-ndjson"

#: Seconds between two lines.
_PAUSE = 0.5

Told = Callable[[BaseModel], None]

#: What goes on when nobody follows any more: the loop itself keeps no task from being collected.
_under_way: set[asyncio.Task[BaseModel]] = set()


def wants_to_follow(request: Request) -> bool:
    """Whether a request asks to be told how far it is."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def followed(act: Callable[[Told], Awaitable[BaseModel]]) -> StreamingResponse:
    """Answer with how far an act is, and what comes of it.

    Args:
        act: is begun at once, and goes on if whoever asked goes away. It tells how far it is from any thread.
    """
    # The last that was said is all that counts.
    said: list[BaseModel] = []

    def told(progress: BaseModel) -> None:
        said[:] = [progress]

    async def begin() -> BaseModel:
        return await act(told)

    return StreamingResponse(
        _lines(begin, said),
        media_type=MEDIA_TYPE,
        # A proxy that gathers an answer before it sends it on would have nothing to send.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(begin: Callable[[], Awaitable[BaseModel]], said: list[BaseModel]) -> AsyncIterator[str]:
    task = asyncio.ensure_future(begin())
    _under_way.add(task)
    task.add_done_callback(_forget)
    while not task.done():
        await asyncio.wait({task}, timeout=_PAUSE)
        for progress in said:
            yield _line("progress", progress)
    try:
        yield _line("result", task.result())
    except Exception as error:
        # The status of this answer was sent with its first line.
        yield _line("problem", problem_of(error))


def _line(name: str, content: BaseModel) -> str:
    return f'{{"{name}": {content.model_dump_json()}}}\n'


def _forget(task: asyncio.Task[BaseModel]) -> None:
    _under_way.discard(task)
    # What went wrong was told to whoever followed; if nobody did any more, asyncio need not complain.
    if not task.cancelled():
        task.exception()
