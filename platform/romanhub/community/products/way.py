"""How far a copy is, as it tells whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from romanhub.models.products import CopyProgress, CopyStep


class Way:
    """How far a copy is. boto3 uploads in threads of its own, so that several may tell of it."""

    def __init__(self, of: int, told: Callable[[CopyProgress], object] | None) -> None:
        """Begin, and say so.

        Parameters
        ----------
        of
            How many bytes will be fetched and kept, together.
        told
            Is told how far it is; None where nobody wants to know.
        """
        self._step: CopyStep = "waiting"
        self._done, self._of = 0, of
        self._told = told
        self._lock = Lock()
        self.moved(0)

    def now(self, step: CopyStep) -> None:
        """Go on to the next step."""
        self._step = step
        self.moved(0)

    def moved(self, more: int) -> None:
        """Note that so many bytes more were fetched or kept."""
        with self._lock:
            self._done += more
            if self._told is not None:
                self._told(CopyProgress(step=self._step, done=self._done, of=self._of))
