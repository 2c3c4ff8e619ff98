"""A real Jupyter server with a kernel that computes in silence, in the users' environment; prints what it saw."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

from hubquota import activity
from jupyter_server.serverapp import ServerApp


async def watch(server: Any) -> dict[str, object]:
    """Let a kernel compute, and see when the server was active."""
    number = await server.kernel_manager.start_kernel(kernel_name="python3")
    kernel = server.kernel_manager.get_kernel(number)
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    # The server may have come too late to hear that the kernel rests; asked something, the kernel says it again.
    while kernel.execution_state != "idle":
        client.kernel_info()
        await asyncio.sleep(0.2)
    resting = activity.note_busy(server.web_app.settings, server.kernel_manager)
    client.execute("import time; time.sleep(60)")
    while kernel.execution_state != "busy":
        await asyncio.sleep(0.05)
    began = datetime.now(UTC)
    # The extension itself, which looks every tenth of a second here, and not at what this script does.
    while activity.SETTING not in server.web_app.settings or server.web_app.last_activity() <= began:
        await asyncio.sleep(0.05)
    seen = server.web_app.last_activity() > kernel.last_activity
    client.stop_channels()
    await server.kernel_manager.shutdown_kernel(number, now=True)
    return {"resting": resting, "seen": seen}


async def run() -> None:
    """Start the server, watch it, print what came of it."""
    activity.PERIOD = 100
    server = ServerApp.instance()
    server.initialize(["--ServerApp.jpserver_extensions={'hubquota.activity': True}", *sys.argv[1:]])
    print(json.dumps(await asyncio.wait_for(watch(server), 90)), flush=True)
    await server._cleanup()


asyncio.run(run())
