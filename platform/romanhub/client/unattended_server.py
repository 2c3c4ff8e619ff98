"""An extension of the Jupyter server: a server that was started to run a notebook runs it.

The server's name says so (`romanhub.models.runs`). The notebook runs in a process of its own
(`romanhub.client.unattended`), so that a server which has no memory left can still say so. In any other server
this extension does nothing, and imports nothing that would make its start slower.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any

#: Where the Jupyter server finds when a notebook ran last: it counts what ends so as activity, and tells the hub.
SETTING = "romanhub_run_last_activity"

#: How often that is noted, in seconds; the server tells the hub every few minutes.
PERIOD = 30.0

#: The runner's process ends with this code where the portal did not take its report, which is no news to it.
_KNOWN = 1


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "romanhub.client.unattended_server"}]


def _load_jupyter_server_extension(app: Any) -> None:
    from romanhub.models.runs import run_of

    run = run_of(os.environ.get("JUPYTERHUB_SERVER_NAME", ""))
    if run is not None:
        # Kept there: a task that nobody knows of may be collected.
        app.web_app.settings["romanhub_run"] = asyncio.ensure_future(carry_out(run, app.web_app.settings))


async def carry_out(run: int, settings: dict[str, Any]) -> None:
    """Run the notebook in a process, and say how that ended where it could not say so itself.

    Parameters
    ----------
    run
        The run's number.
    settings
        The Jupyter server's settings, in which activity is noted.
    """
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "romanhub.client.unattended")
    ending = asyncio.ensure_future(process.wait())
    while not ending.done():
        settings[SETTING] = datetime.now(UTC)
        await asyncio.wait({ending}, timeout=PERIOD)
    if (code := ending.result()) not in (0, _KNOWN):
        await asyncio.to_thread(_say_that_it_died, run, code)


def _say_that_it_died(run: int, code: int) -> None:
    from romanhub.client.connection import Portal
    from romanhub.client.errors import RomanHubError
    from romanhub.client.unattended import tell
    from romanhub.models.runs import Report

    how = f"by the signal {signal.Signals(-code).name}" if code < 0 else f"with the code {code}"
    text = f"What ran the notebook was ended {how}. It may have needed more memory than the server has."
    try:
        tell(Portal.from_environment(), run, Report(passed=False, error=text, seconds=0))
    except RomanHubError as error:
        print(f"Run {run}: {text} {error}", file=sys.stderr)  # noqa: T201
