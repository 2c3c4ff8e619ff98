"""What a run of a notebook takes longer through the queue, in a server of its own, than by nbclient alone.

Both run the same notebook in the same environment, one after the other, so that a busy machine slows both. Through
the queue it is the time from the request until its end is noted: the queue, the runner's looks, the server's start
and the notebook itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import nbformat
from romanhub.local.settings import Settings

from tests.bench.rows import Row
from tests.support.person import Person
from tests.support.platform import PATIENCE, Platform, fresh_state

#: How often each side runs it.
RUNS = 5

#: The notebook: what it imports takes most of its time, as in most notebooks.
CELLS = (
    "import astropy.units as u, numpy as np\nfrom astropy.coordinates import SkyCoord",
    "sky = SkyCoord(np.linspace(0, 360, 200_000) * u.deg, np.zeros(200_000) * u.deg)",
    "print(sky.galactic.b.max())",
)

PLAIN = """
import sys, nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=600).execute()
"""


def measure() -> list[Row]:
    """Measure both on a platform of its own."""
    platform = Platform(fresh_state(), environment={"PYTHONPATH": os.environ["PYTHONPATH"]})
    try:
        platform.start()
        ada = Person(platform.url, "ada")
        ada.sign_in()
        ada.start_server(size="small")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
        bearer = {"Authorization": f"Bearer {ada.token()}"}
        with httpx.Client(base_url=platform.url, headers=bearer, timeout=60, trust_env=False) as web:
            content = {"type": "notebook", "content": json.loads(nbformat.writes(notebook))}
            web.put("/user/ada/api/contents/measured.ipynb", json=content).raise_for_status()
            ada.stop_server()
            roman = Settings.load(platform.state).roman.python
            here = platform.state / "measured.ipynb"
            here.write_text(nbformat.writes(notebook))
            pairs = [(_queued(web), _plain(roman, here)) for _ in range(RUNS)]
    finally:
        platform.remove()
    return [
        Row(
            name="community-runs: a run through the queue",
            value=median(queued for queued, _ in pairs),
            unit="s",
            against="the same notebook by nbclient alone",
            versus=median(plain for _, plain in pairs),
            runs=RUNS,
        )
    ]


def _queued(web: httpx.Client) -> float:
    path = "/services/portal/api/v1/community/runs"
    started = time.perf_counter()
    number = web.post(path, json={"notebook": "measured.ipynb", "size": "small"}).raise_for_status().json()["id"]
    while time.perf_counter() - started < PATIENCE:
        found: list[dict[str, Any]] = web.get(path).raise_for_status().json()["runs"]
        (run,) = [one for one in found if one["id"] == number]
        if run["ended_at"] is not None:
            seconds = time.perf_counter() - started
            if run["state"] != "passed":
                raise RuntimeError(f"The run did not pass: {run}")
            # The next one is alone on the machine.
            while web.get(path).raise_for_status().json()["runs"][0]["credits"] is None:
                time.sleep(0.1)
            return seconds
        time.sleep(0.1)
    raise RuntimeError("The run never ended.")


def _plain(python: Path, notebook: Path) -> float:
    started = time.perf_counter()
    subprocess.run([str(python), "-c", PLAIN, str(notebook)], check=True, capture_output=True, timeout=PATIENCE)
    return time.perf_counter() - started
