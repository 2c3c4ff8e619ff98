"""A bar for the copy of a data product: in a notebook and in a terminal, and nowhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from romanhub.models.products import CopyProgress, CopyStep

_WORDS: dict[CopyStep, str] = {
    "waiting": "Waiting for somebody else's copy",
    "fetching": "Fetching",
    "reading": "Reading the tables",
    "keeping": "Keeping",
}


class CopyBar:
    """Shows how far a copy is, once there is anything to show."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._shown = _in_kernel() or sys.stderr.isatty()

    def __enter__(self) -> CopyBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def told(self, progress: CopyProgress) -> None:
        """Show how far it is."""
        if not self._shown:
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=progress.of, unit="B", unit_scale=True)
        self._bar.set_description(_WORDS[progress.step], refresh=False)
        self._bar.n = progress.done
        self._bar.refresh()


def _in_kernel() -> bool:
    """Whether this is a notebook's kernel, whose output is no terminal and shows a bar all the same."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
