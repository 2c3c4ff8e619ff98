"""The probe's visit: what the robot does, in the order in which a new user would."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import httpx
from tornado.httpclient import HTTPClientError

from romanhub.probe.kernel import CellResult, Kernel
from romanhub.probe.report import Report, Step
from romanhub.probe.robot import ProbeError, Robot

#: The notebook that every new home has.
WELCOME = "welcome.ipynb"

CUTOUT = """
from astropy.coordinates import SkyCoord
from romanhub import archive
exposure = archive.exposures()[0]
centre = SkyCoord(exposure.footprint.cartesian.mean())
assert exposure.cutout(centre, 50).data.shape == (50, 50)
"""

CLUSTER = """
import romanhub
cluster = romanhub.cluster(workers=2)
client = cluster.get_client()
client.wait_for_workers(2, timeout=240)
assert client.submit(sum, [40, 2]).result(timeout=60) == 42
client.close()
cluster.shutdown()
"""


class Visit:
    """One visit of the robot.

    Parameters
    ----------
    robot
        The robot at its hub.
    options
        What to choose on the spawn form, such as the size; the tier's default where it is empty.
    tell
        Told of each step as it ends.
    now
        The time.
    """

    def __init__(
        self, robot: Robot, options: dict[str, str], *, tell: Callable[[Step], None], now: Callable[[], datetime]
    ) -> None:
        self._robot = robot
        self._options = options
        self._tell = tell
        self._now = now
        self._steps: list[Step] = []

    async def run(self) -> Report:
        """Do every step; after one that fails, stop what was started and leave out the rest."""
        began = self._now()
        async with AsyncExitStack() as clearing:
            try:
                async with self._step("sign-in", "The sign-in page answers and the hub knows the robot"):
                    await self._robot.look_at_the_door()
                    # What an earlier visit that was cut short has left behind.
                    await self._robot.stop_server()
                clearing.push_async_callback(self._stop)
                async with self._step("server", "A server starts"):
                    address = await self._robot.start_server(**self._options)
                async with self._kernel("kernel", "A kernel answers", address) as kernel:
                    await self._cell(kernel, "cutout", "A cutout is read from the archive", CUTOUT)
                    await self._cell(kernel, "cluster", "A Dask cluster of two workers computes", CLUSTER)
                async with self._step("notebook", "The welcome notebook runs from top to bottom"):
                    await self._notebook(address)
            except _GivenUpError:
                pass
        return Report(began=began, url=self._robot.url, steps=self._steps)

    async def _notebook(self, address: str) -> None:
        cells = await self._robot.notebook(address, WELCOME)
        kernel = await Kernel.start(address, self._robot.token)
        try:
            for number, source in enumerate(cells, start=1):
                _check(await kernel.run(source), f"Code cell {number} of {WELCOME}")
        finally:
            await kernel.end()

    async def _cell(self, kernel: Kernel, name: str, title: str, source: str) -> None:
        async with self._step(name, title):
            _check(await kernel.run(source), "The cell")

    @asynccontextmanager
    async def _kernel(self, name: str, title: str, address: str) -> AsyncIterator[Kernel]:
        async with self._step(name, title):
            kernel = await Kernel.start(address, self._robot.token)
            _check(await kernel.run("import romanhub"), "The import of romanhub")
        try:
            yield kernel
        finally:
            await kernel.end()

    async def _stop(self) -> None:
        try:
            async with self._step("stop", "The server stops"):
                await self._robot.stop_server()
        except _GivenUpError:
            pass

    @asynccontextmanager
    async def _step(self, name: str, title: str) -> AsyncIterator[None]:
        started = time.monotonic()
        failure: str | None = None
        try:
            yield
        except ProbeError as error:
            failure = str(error)
        except (httpx.HTTPError, HTTPClientError, OSError) as error:
            failure = f"The platform did not answer: {type(error).__name__}: {error}."
        step = Step(name=name, title=title, seconds=time.monotonic() - started, failure=failure)
        self._steps.append(step)
        self._tell(step)
        if failure is not None:
            raise _GivenUpError


class _GivenUpError(Exception):
    """A step failed and is noted; the rest of the visit is left out."""


def _check(result: CellResult, what: str) -> None:
    if result.error is not None:
        raise ProbeError(f"{what} failed: {result.error.strip().splitlines()[-1]}")
