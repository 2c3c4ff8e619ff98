"""Tell the gateway for how long there has been no work in a Dask cluster.

A cluster without work is stopped after a while, which its tier says. The gateway does that, and warns before;
what it needs to know is when there was work last, and only the scheduler knows. Dask's schedulers load this
module as a preload (`dask scheduler --preload romanhub.client.idle`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest

log = logging.getLogger("distributed.scheduler")

#: How often the scheduler is looked at, and the gateway told, in seconds.
LOOK = 1.0
TELL = 15.0


class Reporter:
    """Looks at a scheduler, and tells the gateway."""

    def __init__(self, scheduler: Any, address: str, token: str) -> None:
        """Report of a scheduler.

        :param scheduler: Dask's scheduler.
        :param address: the address at the gateway that takes the report.
        :param token: the cluster's token.
        """
        self._scheduler = scheduler
        self._address = address
        self._token = token

    async def run(self) -> None:
        """Look and tell until cancelled. A report that the gateway does not take is logged, and the next comes."""
        told = 0.0
        while True:
            since = self._scheduler.check_idle()
            if time.monotonic() - told >= TELL:
                told = time.monotonic()
                try:
                    await self._tell(0.0 if since is None else max(0.0, time.time() - since))
                except Exception as error:
                    log.warning("The gateway was not told of work in the cluster: %s", error)
            await asyncio.sleep(LOOK)

    async def _tell(self, idle_seconds: float) -> None:
        request = HTTPRequest(
            self._address,
            method="POST",
            headers={"Authorization": f"token {self._token}", "Content-Type": "application/json"},
            body=json.dumps({"idle_seconds": idle_seconds}),
        )
        await AsyncHTTPClient().fetch(request)


async def dask_setup(scheduler: Any) -> None:
    """Begin to report: Dask calls this in the scheduler."""
    token = os.environ["DASK_GATEWAY_API_TOKEN"]
    if "/" in token:
        # On Kubernetes it is a file.
        token = await asyncio.to_thread(Path(token).read_text)
    address = (
        f"{os.environ['DASK_GATEWAY_API_URL']}/v1/clusters/{os.environ['DASK_GATEWAY_CLUSTER_NAME']}/activity"
    )
    # Kept by the scheduler, so that it lives as long.
    scheduler.romanhub_reporter = asyncio.create_task(Reporter(scheduler, address, token).run())
