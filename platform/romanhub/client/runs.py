"""Notebooks of one's own that run later: `romanhub.runs()`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from romanhub.client.connection import Portal
from romanhub.client.errors import RunRefusedError
from romanhub.models.runs import OwnRun

#: Where the portal has them.
PATH = "api/v1/community/runs"

_WORDS = {
    "queued": "waits",
    "cancelled": "was taken back",
    "lost": "was not run to its end",
    "refused": "was not run",
}


class LaterRun:
    """A notebook that runs when you are not there.

    :param portal: the platform's portal.
    :param told: what the portal says of the run.
    """

    def __init__(self, portal: Portal, told: OwnRun) -> None:
        self._portal = portal
        #: What the portal said last: state, times, error, cost, and where the result is.
        self.told = told

    @property
    def id(self) -> int:
        """The run's number."""
        return self.told.id

    @property
    def state(self) -> str:
        """Queued, running, passed, failed, refused, lost or cancelled, when it was last asked."""
        return self.told.state

    def refresh(self) -> LaterRun:
        """Ask how it stands now; return the run itself."""
        for found in runs():
            if found.id == self.id:
                self.told = found.told
        return self

    def cancel(self) -> LaterRun:
        """Take it out of the queue, or stop its server; return the run itself.

        :raises RunRefusedError: it has ended.
        """
        self.told = self._portal.post(f"{PATH}/{self.id}/cancel", {}, OwnRun, refused=RunRefusedError)
        return self

    def __repr__(self) -> str:
        told = self.told
        words = [f"Run {told.id}: {told.notebook} {_WORDS.get(told.state, told.state)}"]
        if told.state == "queued":
            words.append(f"until {told.not_before:%Y-%m-%d %H:%M} UTC at the earliest")
        if told.error and told.state != "cancelled":
            words.append(f"({f'code cell {told.failed_cell}: ' if told.failed_cell else ''}{told.error})")
        if told.result:
            words.append(f"→ {told.result}")
        return " ".join(words)


class _Runs(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    runs: tuple[OwnRun, ...]


def runs() -> list[LaterRun]:
    """Return your notebooks that run or ran when you are not there, the newest first.

    :raises OutsidePlatformError: where this is no server of the platform.
    """
    portal = Portal.from_environment()
    return [LaterRun(portal, one) for one in portal.get(PATH, _Runs).runs]
