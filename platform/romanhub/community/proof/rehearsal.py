"""What a new image would break: every public notebook is run in it before anybody has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from romanhub.community.proof.needs import Offer
from romanhub.community.proof.queue import Queue
from romanhub.models.entries import Proof
from romanhub.models.runs import Outcome


class Tried(BaseModel):
    """One notebook in the new image."""

    model_config = ConfigDict(frozen=True)

    entry: str = Field(description="The entry's name.")
    version: int = Field(description="Its newest version.")
    today: Proof = Field(description="What its regular runs say.")
    outcome: Outcome = Field(description="How it went in the new image.")
    failed_cell: int | None = Field(description="Which code cell failed, from 1.")
    error: str | None = Field(description="Why it failed, or was not run.")
    seconds: float | None = Field(description="How long its cells took, in seconds.")
    image_digest: str | None = Field(description="The identity of the environment that it ran in.")

    @property
    def breaks(self) -> bool:
        """Whether it runs today, and would not any more."""
        return self.outcome is Outcome.FAILED and self.today in (Proof.PASSED, Proof.STALE)

    @property
    def untold(self) -> bool:
        """Whether it is not known what would become of it."""
        return self.outcome not in (Outcome.PASSED, Outcome.FAILED)


@dataclass(frozen=True)
class Rehearsal:
    """A rehearsal from its first run to its last.

    Parameters
    ----------
    queue
        The queue, which a running platform's runner takes from.
    offer
        What the platform has; the images in it are not looked at.
    wait
        Called between two looks.
    """

    queue: Queue
    offer: Offer
    wait: Callable[[], None]

    def run(self, image: str, *, progress: Callable[[int, int], None]) -> list[Tried]:
        """Run every public notebook in an image; return how it went, what would break first.

        Parameters
        ----------
        image
            The image, as the spawner calls it.
        progress
            Called with how many have ended, and of how many.

        Whatever ends it before its last run, such as a Ctrl-C, takes back the runs that are left.
        """
        numbers = self.queue.rehearse(image, self.offer)
        try:
            while True:
                found = self.queue.many(numbers)
                ended = [one for one in found if one.ended_at is not None]
                progress(len(ended), len(numbers))
                if len(ended) == len(numbers):
                    break
                self.wait()
        except BaseException:
            self.queue.give_up(numbers)
            raise
        entries = {one.entry_id for one in found if one.entry_id is not None}
        names, today = self.queue.names(entries), self.queue.proofs(entries)
        tried = [
            Tried(
                entry=names[one.entry_id],
                version=one.version or 0,
                today=today[one.entry_id],
                outcome=one.outcome,
                failed_cell=one.failed_cell,
                error=one.error,
                seconds=one.seconds,
                image_digest=one.image_digest,
            )
            for one in found
            if one.entry_id is not None and one.outcome is not None
        ]
        return sorted(tried, key=lambda one: (not one.breaks, not one.untold, one.entry))
