"""Running a notebook without a person, in a server that the platform started for it.

`python -m romanhub.client.unattended` asks the portal with the server's own token what is to be run, runs it with
nbclient, and says how it ended. Nobody outside needs the right to look into the server. A notebook in a home is
left as it is: its copy with the outputs is a new file beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from pydantic import BaseModel, ConfigDict

from romanhub.client.connection import Portal
from romanhub.client.errors import PortalUnavailableError, RomanHubError, RunRefusedError
from romanhub.models.runs import Report, Task, run_of, server_of

#: What the hub tells a server: its name.
SERVER_VARIABLE = "JUPYTERHUB_SERVER_NAME"

#: What the platform tells a server: the identity of its environment.
ENVIRONMENT_VARIABLE = "ROMANHUB_ENVIRONMENT"

#: How often the memory of the kernel's processes is looked at, in seconds.
LOOK = 0.25

#: How long to wait for the portal before each new try, in seconds: it may be restarting.
WAITS = (1, 2, 5, 10, 20, 30, 60, 60, 60)

#: So many results of a run may lie beside a notebook; there is one, unless somebody made files of these names.
MOST = 100


class Taken(BaseModel):
    """That the portal has noted a report."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int


class LimitedClient(NotebookClient):
    """Runs a notebook's cells within one limit of time and one of output for all of them.

    Parameters
    ----------
    notebook
        The notebook, which gets the outputs.
    seconds
        How long all cells may take.
    output_bytes
        How much they may write.
    look
        What is called whenever a cell has ended, while the kernel still lives.
    """

    def __init__(
        self,
        notebook: nbformat.NotebookNode,
        *,
        seconds: int,
        output_bytes: int,
        look: Callable[..., None],
        **more: Any,
    ) -> None:
        super().__init__(notebook, timeout_func=self._seconds_left, **more)
        self._deadline = time.monotonic() + seconds
        self._room = output_bytes
        self._ending: asyncio.Task[Any] | None = None
        #: The cell that runs or ran last, by its place among all cells; None before the first.
        self.at: int | None = None
        self.on_cell_execute = self._note
        self.on_cell_executed = look

    @property
    def wrote_too_much(self) -> bool:
        """Whether the cells wrote more than they may."""
        return self._room < 0

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Count what a cell writes; past the limit nothing more is kept, and the kernel is ended."""
        if msg["msg_type"] not in ("status", "execute_input"):
            self._room -= len(json.dumps(msg["content"], default=str)) + sum(map(len, msg.get("buffers") or []))
            if self.wrote_too_much:
                if self._ending is None and self.km is not None:
                    self._ending = asyncio.create_task(ensure_async(self.km.shutdown_kernel(now=True)))
                return None
        return super().process_message(msg, cell, cell_index)

    def _seconds_left(self, _cell: Any) -> int:
        # nbclient takes 0 for no limit at all.
        return max(1, int(self._deadline - time.monotonic()))

    def _note(self, *, cell_index: int, **_more: Any) -> None:
        self.at = cell_index


class Memory:
    """Looks at how much memory the descendants of this process have, while it is entered as a context.

    Memory that processes share is counted for each of them, so that the peak is never told too small. The kernel
    remembers the most that each process had at once, so that nothing is missed between two looks by one that still
    lives at the next.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            self.look()
            self._over.wait(LOOK)

    def look(self, **_cell: Any) -> None:
        """Look once more."""
        total = 0
        for process in psutil.Process().children(recursive=True):
            try:
                total += process.memory_info().rss
                most = _most(process.pid)
            except (psutil.Error, OSError):
                continue
            self.peak = max(self.peak, most)
        self.peak = max(self.peak, total)


def _most(pid: int) -> int:
    """Return the most bytes of memory that a process had at once: VmHWM in proc_pid_status(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0  # a process that has just ended has no memory


def run_notebook(source: Path, *, seconds: int, output_bytes: int, kernel: str = "") -> tuple[Any, Report]:
    """Run every cell of a notebook in its folder, up to the first that fails.

    Parameters
    ----------
    source
        The notebook's file, which is not changed.
    seconds
        How long all cells may take.
    output_bytes
        How much they may write.
    kernel
        The kernel's name; the notebook's own where it is empty.

    Returns
    -------
    NotebookNode or None, Report
        The notebook with what was written, and how it ended. None where the file is no notebook.
    """
    began = time.monotonic()
    try:
        notebook = nbformat.read(source, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except FileNotFoundError:
        return None, Report(passed=False, error=f"There is no notebook {source.name}.", seconds=0)
    except (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        text = f"{source.name} is no notebook that can be run: {type(error).__name__}."
        return None, Report(passed=False, error=text, seconds=0)
    memory = Memory()
    client = LimitedClient(
        notebook,
        seconds=seconds,
        output_bytes=output_bytes,
        look=memory.look,
        kernel_name=kernel,
        resources={"metadata": {"path": str(source.parent)}},
    )
    error_text: str | None = None
    in_a_cell = True
    with memory:
        try:
            client.execute()
        except CellExecutionError as error:
            error_text = f"{error.ename}: {error.evalue}"
        except CellTimeoutError:
            error_text = f"It took longer than the {seconds} seconds that a run may take."
        except DeadKernelError:
            error_text = "The kernel ended while the cell ran. It may have needed more memory than there is."
        except NoSuchKernel as error:
            error_text, in_a_cell = f"This environment has no kernel {error.name}.", False
        except (RuntimeError, OSError, ValueError) as error:
            error_text, in_a_cell = f"It could not be run: {type(error).__name__}: {error}", False
    if client.wrote_too_much:
        error_text = f"It wrote more than the {output_bytes:,} bytes that a run may write."
    failed = _number(notebook, client.at) if error_text is not None and in_a_cell else None
    report = Report(
        passed=error_text is None,
        failed_cell=failed,
        error=error_text,
        seconds=round(time.monotonic() - began, 3),
        peak_bytes=memory.peak or None,
    )
    return notebook, report


def carry_out(task: Task, home: Path, environment: Mapping[str, str]) -> Report:
    """Run what a server was started for.

    Parameters
    ----------
    task
        What the portal said.
    home
        The home that the server works in.
    environment
        The server's environment variables.
    """
    source = home / task.notebook
    if task.content is not None:
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(task.content)
    notebook, report = run_notebook(source, seconds=task.seconds, output_bytes=task.output_bytes)
    result: str | None = None
    if task.content is None and notebook is not None:
        try:
            result = str(keep(notebook, source, task.id).relative_to(home))
        except OSError as error:
            said = f"The result could not be written beside the notebook: {error.strerror}."
            report = report.model_copy(update={"passed": False, "error": report.error or said})
    return report.model_copy(update={"image_digest": environment.get(ENVIRONMENT_VARIABLE), "result": result})


def keep(notebook: Any, source: Path, run: int) -> Path:
    """Write a notebook with its outputs beside its source, under a name that is not taken; return the file.

    Raises
    ------
    OSError
        It cannot be written.
    """
    text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    for number in range(MOST):
        path = source.with_name(f"{source.stem}.{server_of(run)}{f'-{number}' if number else ''}.ipynb")
        try:
            with path.open("x") as file:
                file.write(text)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(17, f"there are {MOST} results of that name")


def main(
    environment: Mapping[str, str] = os.environ,
    *,
    home: Path | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Do what this server was started for; return 0 once the portal knows how it ended."""
    run = run_of(environment.get(SERVER_VARIABLE, ""))
    if run is None:
        print("This is not a server that runs a notebook.", file=sys.stderr)  # noqa: T201
        return 2
    portal = Portal.from_environment(environment)
    try:
        task = _patiently(lambda: portal.get(f"api/v1/community/runs/{run}/task", Task), wait)
        report = carry_out(task, home or Path.home(), environment)
        _patiently(lambda: tell(portal, run, report), wait)
    except RomanHubError as error:
        print(f"Run {run}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def tell(portal: Portal, run: int, report: Report) -> Taken:
    """Tell the portal how a run ended. Raises what `Portal.post` raises."""
    return portal.post(
        f"api/v1/community/runs/{run}/report", report.model_dump(mode="json"), Taken, refused=RunRefusedError
    )


def _patiently(ask: Callable[[], Any], wait: Callable[[float], None]) -> Any:
    """Ask the portal, again and again while it does not answer."""
    for seconds in WAITS:
        try:
            return ask()
        except PortalUnavailableError:
            wait(seconds)
    return ask()


def _number(notebook: Any, at: int | None) -> int | None:
    """Which code cell it is, from 1, that is at a place among all cells."""
    if at is None:
        return None
    return sum(cell.cell_type == "code" for cell in notebook.cells[: at + 1]) or None


if __name__ == "__main__":
    raise SystemExit(main())
