"""Notebooks that run without a person on a real platform: shared ones by the robot, and people's own."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.platform.community.hostile import code, notebook
from tests.support.author import API, Author
from tests.support.browser import chromium, sign_in, take
from tests.support.platform import Platform, fresh_state, shared_environments

#: How long a run may take on a busy machine, in seconds.
PATIENCE = 240.0


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    """A platform whose runner looks for new versions all the time."""
    platform = Platform(fresh_state())
    settings = platform.state / "runs.yaml"
    settings.write_text("survey_seconds: 1\nat_once: 2\n")
    settings.rename(file := platform.state.with_name(f"{platform.state.name}-runs.yaml"))
    platform.environment["ROMANHUB_RUNS"] = str(file)
    try:
        yield platform.start()
    finally:
        platform.remove()
        file.unlink()


def until(platform: Platform, is_so: Callable[[], bool]) -> None:
    """Wait for what nothing tells of."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, [*rows(platform), platform.logs()]
        time.sleep(0.5)


def rows(platform: Platform, what: str = "SELECT * FROM run ORDER BY id") -> list[Any]:
    path = platform.state / "private" / "community.sqlite"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as catalogue:
        catalogue.row_factory = sqlite3.Row
        return [dict(row) for row in catalogue.execute(what)]


@pytest.mark.timeout(900)
def test_green_then_red_then_green_after_a_fix(running: Platform) -> None:
    ada = Author(running.url, "ada")
    ada.publish("depth", "block = b'x' * 60_000_000", "import romanhub; print(len(block))")
    until(running, lambda: ada.proof("depth") == "passed")
    until(running, lambda: all(row["server"] is None for row in rows(running)))
    (row,) = [row for row in rows(running) if row["outcome"]]
    assert (row["person"], row["purpose"]) == ("community-robot", "regular")
    assert row["seconds"] > 0 and row["peak_bytes"] > 60_000_000 and row["credits"] > 0
    assert row["image_digest"].startswith("roman-")
    # Nothing is left of its server: no home, no process, no lease.
    assert [path.name for path in (running.state / "homes").glob("community-robot*")] == ["community-robot"]

    ada.publish("depth", "x = 1", "raise ValueError('no such filter')")
    until(running, lambda: ada.proof("depth") == "failed")
    found = rows(running, "SELECT * FROM run WHERE outcome = 'failed'")
    assert [(one["version"], one["failed_cell"], one["error"]) for one in found] == [
        (2, 2, "ValueError: no such filter")
    ]
    ada.publish("depth", "x = 1")
    until(running, lambda: ada.proof("depth") == "passed")
    subjects = [one["subject"] for one in reversed(ada.notices())]
    assert subjects == ["depth runs", "depth does not run any more", "depth runs"]


@pytest.mark.timeout(900)
async def test_ones_own_notebook_runs_on_ones_own_account_when_one_is_not_there(running: Platform) -> None:
    bob = Author(running.url, "bob")
    bob.start_server(size="small")
    kernel = await bob.kernel()
    source = json.dumps(notebook(code("open('made', 'a').write('once\\n')"), code("print(6 * 7)")))
    written = await kernel.run(
        f"import pathlib, romanhub\npathlib.Path('survey.ipynb').write_text({source!r})\n"
        "run = romanhub.run_later('survey.ipynb', size='small')\nprint(run)"
    )
    assert written.error is None and "Run" in written.text
    bob.stop_server()

    until(running, lambda: bob.runs()[0]["credits"] is not None)
    (run,) = bob.runs()
    assert run["state"] == "passed" and float(run["credits"]) > 0
    (notice,) = bob.notices()
    assert notice["subject"] == "survey.ipynb ran from top to bottom"
    assert run["result"] in notice["text"]
    statement = bob.ask("GET", "/services/portal/api/statement")
    assert [one for one in statement["entries"] if one["kind"] == "charge"]
    home = running.state / "homes" / "bob"
    assert (home / "survey.ipynb").read_text() == source
    assert (home / "made").read_text() == "once\n"
    assert "42" in (home / run["result"]).read_text()

    # Where nothing pays, it is the ledger that says so.
    bob.ask("POST", f"{API}/runs", json={"notebook": "survey.ipynb", "size": "huge"})
    until(running, lambda: bob.runs()[0]["state"] == "refused")
    assert "does not offer the size 'huge'" in bob.runs()[0]["error"]


@pytest.mark.timeout(600)
def test_the_page_of_runs_shows_them_and_takes_one_back(running: Platform) -> None:
    dan = Author(running.url, "dan")
    dan.ask("POST", f"{API}/runs", json={"notebook": "survey.ipynb", "size": "huge"})
    until(running, lambda: dan.runs()[0]["state"] == "refused")
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    dan.ask("POST", f"{API}/runs", json={"notebook": "work/tonight.ipynb", "after": later})
    with chromium() as browser:
        page = browser.new_page()
        sign_in(page, running.url, "dan")
        page.goto(f"{running.url}/services/portal/runs")
        expect(page.locator("main")).to_contain_text("does not offer the size")
        expect(page.locator("main")).to_contain_text("work/tonight.ipynb")
        take(page, "runs")
        page.get_by_role("button", name="Take back").click()
        expect(page.locator("main")).to_contain_text("taken back")
    assert dan.runs()[0]["state"] == "cancelled"


@pytest.mark.timeout(900)
def test_a_runner_that_is_killed_loses_nothing_and_runs_nothing_twice(running: Platform) -> None:
    cyd = Author(running.url, "cyd")
    cyd.start_server(size="small")
    wait = "while not os.path.exists('go'): time.sleep(0.1)"
    content = notebook(code(f"import os, time\nopen('made', 'a').write('once\\n')\n{wait}"))
    put = "/user/cyd/api/contents/slow.ipynb"
    cyd.ask("PUT", put, json={"type": "notebook", "content": content})
    cyd.stop_server()
    ids = [cyd.ask("POST", f"{API}/runs", json={"notebook": "slow.ipynb"})["id"] for _ in range(2)]
    cyd.publish("width", "x = 1")
    # Once when a first one runs, and once when both do: they wait for that.
    for number in (1, 2):
        until(running, lambda number=number: [one["state"] for one in cyd.runs()].count("running") >= number)
        running.part("runner").kill()
        running.wait_for("The runner is back.")
    (running.state / "homes" / "cyd" / "go").touch()
    until(running, lambda: all(one["state"] == "passed" and one["credits"] for one in cyd.runs()))
    until(running, lambda: cyd.proof("width") == "passed")
    assert (running.state / "homes" / "cyd" / "made").read_text() == "once\n" * 2
    assert sorted(one["id"] for one in cyd.runs()) == sorted(ids)
    until(running, lambda: all(row["server"] is None for row in rows(running)))
    with sqlite3.connect(f"file:{running.state / 'private' / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        assert ledger.execute("SELECT key FROM lease WHERE ended_at IS NULL").fetchall() == []


@pytest.mark.timeout(900)
def test_an_operator_rehearses_an_image_and_sees_what_would_break(running: Platform) -> None:
    eve = Author(running.url, "eve")
    # What breaks is a notebook that runs once: to install another image than everybody's takes minutes.
    marks = Path(tempfile.mkdtemp(dir="/var/tmp"))
    marks.chmod(0o777)
    try:
        eve.publish("steady", "import romanhub")
        eve.publish("once", "x = 1", f"open('{marks}/mark', 'x').close()")
        for name in ("steady", "once"):
            until(running, lambda name=name: eve.proof(name) == "passed")
        until(running, lambda: all(row["server"] is None for row in rows(running)))

        told = running.command("community", "rehearse", "--image", "core")
        assert told.returncode == 1, told.stderr
        assert "Code cell 2: FileExistsError" in " ".join(told.stdout.split())
        assert "1 that run today would not run in core." in told.stdout
        (marks / "mark").unlink()
        told = running.command("community", "rehearse", "--image", "core", "--json")
        assert told.returncode == 0, told.stderr
        found = {one["entry"]: one for one in json.loads(told.stdout)}
        assert (found["once"]["outcome"], found["once"]["breaks"]) == ("passed", False)
        assert found["steady"]["image_digest"].startswith("roman-")
    finally:
        shutil.rmtree(marks)
    # It says nothing of the image that people have.
    assert eve.proof("once") == "passed"

    told = running.command("community", "rehearse", "--image", "huge")
    assert told.returncode == 1 and "there are: core, full" in told.stderr


@pytest.mark.timeout(900)
def test_a_rehearsal_that_is_interrupted_runs_nothing_more(running: Platform) -> None:
    fay = Author(running.url, "fay")
    fay.publish("slow", "import time\ntime.sleep(600)")
    command = subprocess.Popen(
        [
            str(Path(shared_environments()) / "hub" / "bin" / "romanhub"),
            "community",
            "rehearse",
            "--image",
            "core",
        ],
        env=running.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    of_images = "SELECT * FROM run WHERE purpose = 'image' AND outcome IS NULL"
    until(running, lambda: any(row["notebook"] == "slow.ipynb" for row in rows(running, of_images)))
    command.send_signal(signal.SIGINT)
    assert "given up" in command.communicate(timeout=PATIENCE)[1]
    assert command.returncode == 1 and rows(running, of_images) == []
    fay.ask("POST", f"{API}/entries/slow/acts/withdraw", json={"reason": "It was a test."})
