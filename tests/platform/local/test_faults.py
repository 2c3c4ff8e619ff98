"""Parts that die while people work."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.support.person import Person
from tests.support.platform import Platform


def open_leases(platform: Platform) -> list[str]:
    """The keys of the ledger's open leases."""
    with sqlite3.connect(f"file:{platform.state / 'private' / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        return [key for (key,) in ledger.execute("SELECT key FROM lease WHERE ended_at IS NULL")]


async def test_the_hub_is_killed_and_the_notebook_goes_on(own_platform: Platform) -> None:
    own_platform.start()
    ada = Person(own_platform.url, "ada")
    ada.sign_in()
    ada.start_server(size="small")
    kernel = await ada.kernel()
    await kernel.run("answer = 6 * 7")

    own_platform.part("hub").kill()
    own_platform.wait_for("The hub is back.")

    assert (await kernel.run("print(answer)")).text == "42\n"
    assert open_leases(own_platform) == ["server:ada/"]
    kernel.close()

    # A server that the killed hub had started and that dies is noticed, and not charged any longer.
    server = next(p for p in own_platform.processes() if "jupyterhub-singleuser" in " ".join(p.cmdline()))
    server.kill()
    died = time.time()
    deadline = time.monotonic() + 90
    while open_leases(own_platform):
        # The hub asks each server every thirty seconds whether it lives; nothing tells when it has asked.
        assert time.monotonic() < deadline, "the hub never noticed that the server had died"
        time.sleep(0.2)
    with sqlite3.connect(f"file:{own_platform.state / 'private' / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        ((ended,),) = ledger.execute("SELECT ended_at FROM lease")
    assert ended <= died + 1


async def test_the_proxy_is_killed_and_comes_back_with_its_routes(own_platform: Platform) -> None:
    own_platform.start()
    ada = Person(own_platform.url, "ada")
    ada.sign_in()
    ada.start_server(size="small")
    bearer = {"Authorization": f"token {ada.token()}"}
    own_platform.part("proxy").kill()
    own_platform.wait_for("The proxy is back.")
    deadline = time.monotonic() + 60
    while ada.web.get("/user/ada/api/status", headers=bearer).status_code != 200:
        # The hub looks for missing routes from time to time; nothing tells when it has.
        assert time.monotonic() < deadline, "the server's route never came back"
        time.sleep(0.5)


async def test_everything_is_killed_and_the_next_start_agrees_with_the_ledger(own_platform: Platform) -> None:
    own_platform.start()
    ada, bob = Person(own_platform.url, "ada"), Person(own_platform.url, "bob")
    for person in (ada, bob):
        person.sign_in()
        person.start_server(size="small")
    assert sorted(open_leases(own_platform)) == ["server:ada/", "server:bob/"]

    # Everything is killed but one server; the hub and the supervisor first, which would tidy up.
    assert own_platform.process
    children = psutil.Process(own_platform.process.pid).children(recursive=True)
    surviving = next(p for p in children if "jupyterhub-singleuser" in " ".join(p.cmdline()) and "bob" in _user(p))
    doomed = [p for p in children if p != surviving and p not in surviving.children(recursive=True)]
    for process in (own_platform.part("hub"), psutil.Process(own_platform.process.pid), *doomed):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    own_platform.wait()

    own_platform.start()
    own_platform.part("hub")
    for person in (ada, bob):
        person.sign_in()
    running = [
        name for name, who in (("ada", ada), ("bob", bob)) if who.api("GET", f"/users/{name}").json()["servers"]
    ]
    assert running == ["bob"]
    assert open_leases(own_platform) == ["server:bob/"]
    token = bob.token()
    answer = bob.web.get("/user/bob/api/status", headers={"Authorization": f"token {token}"})
    assert answer.status_code == 200
    bob.stop_server()
    assert open_leases(own_platform) == []


def _user(process: psutil.Process) -> str:
    return str(process.environ().get("JUPYTERHUB_USER", ""))


def supervise(folder: Path, *command: str) -> str:
    """Run one part under a supervisor in a process of its own, which ends all that it started; what it said."""
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from romanhub.local.supervisor import Part, PartFailedError, Supervisor\n"
        "async def main(folder, command):\n"
        "    with (folder / 'lock').open('w') as lock:\n"
        "        supervisor = Supervisor(folder, lock.fileno(), print)\n"
        "        try:\n"
        "            await supervisor.start(Part('archive', command))\n"
        "            await supervisor.wait()\n"
        "        except PartFailedError as error:\n"
        "            print(error)\n"
        "        await supervisor.stop([])\n"
        "asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder), *command], capture_output=True, text=True, timeout=60, check=True
    )
    return result.stdout


def test_a_part_whose_program_is_missing_is_one_clear_line(tmp_path: Path) -> None:
    assert "The archive cannot start: /not/there is not there" in supervise(tmp_path, "/not/there")


def test_a_part_that_keeps_ending_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    said = supervise(tmp_path, "sh", "-c", "echo no room; exit 3")
    assert said.count("The archive ended (exit code 3); starting it again.") == 5
    assert "The archive keeps ending (exit code 3)" in said
    assert "no room" in said
