"""What a person sees while the platform starts: a line for each step, a bar for a long one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn


class Screen:
    """Shows steps on a terminal, or plain lines where the output goes elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)

    def say(self, line: str = "") -> None:
        """A line for the person."""
        self._console.print(line, markup=False)

    @contextmanager
    def step(self, what: str, *, quiet: bool = True) -> Iterator[None]:
        """A step without a measure: a spinner while it lasts, then a line with how long it took.

        Parameters
        ----------
        what
            What is done.
        quiet
            Whether what is done prints nothing itself; if it does, a spinner would be in its way.
        """
        started = time.monotonic()
        if self._console.is_terminal and not quiet:
            self.say(f"  … {what}")
        if self._console.is_terminal and quiet:
            with self._console.status(f"{what} …"):
                yield
        else:
            yield
        self._done(what, started)

    @contextmanager
    def bar(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A step that counts bytes: call what is yielded with those done and those in all."""
        started = time.monotonic()
        columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(what)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        self._done(what, started)

    def _done(self, what: str, started: float) -> None:
        self._console.print(f"  ✓ {what:<58} {time.monotonic() - started:6.1f} s", markup=False)
