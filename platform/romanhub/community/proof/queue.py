"""The queue of runs: what is to run, who took it, how it ended. Each method is one transaction.

A run is queued, then running, then ended: passed, failed, refused, lost or cancelled. Whoever runs it may be
killed at any point: who takes a run notes it before the server is started, the server's name is the run's number,
of which the hub starts one, and what is noted of a server goes when the server is known to be gone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from hubquota.storage.engine import decision, reading
from sqlalchemy import Connection, Engine

from romanhub.community.proof.needs import Needs, NotOfferedError, Offer
from romanhub.community.proof.schedule import next_run
from romanhub.community.proof.settings import RunSettings
from romanhub.community.proof.status import Status, status
from romanhub.community.storage import runs
from romanhub.community.storage.runs import Shared
from romanhub.models.entries import Proof
from romanhub.models.runs import COMMUNITY_ROBOT, Outcome, Purpose, Report, Run, Task, server_of

#: What a shared notebook is called in the robot's home.
ENTRY_FILE = "{name}.ipynb"


class RunRefusedError(ValueError):
    """A run is not queued, or not taken back; the message says why."""


class UnknownRunError(LookupError):
    """There is no such run, or it is not for whoever asks."""


class Queue:
    """The queue of one catalogue. Threads may share it; every process has its own.

    Parameters
    ----------
    engine
        The catalogue's database.
    settings
        How often, how much and for how long.
    clock
        Gives the time, with its zone.
    """

    def __init__(self, engine: Engine, settings: RunSettings, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self.settings = settings

    # What is to run ------------------------------------------------------------------------------------------

    def schedule(self, offer: Offer) -> list[tuple[Shared, str]]:
        """Queue the next regular run of every public notebook that has none.

        Parameters
        ----------
        offer
            What the platform has.

        Returns
        -------
        list of (Shared, str)
            Those that need what the platform does not have, and what that is: for `refuse`, once their authors
            know. Each is here once for each version and reason.
        """
        with reading(self._engine) as connection:
            found = runs.shared(connection)
        refused = []
        for one in found:
            if one.waiting is None or (one.waiting.version != one.newest and one.waiting.started_at is None):
                try:
                    self._schedule(one, offer.of(one.image, one.tier))
                except NotOfferedError as error:
                    if one.last is None or one.last.error != str(error):
                        refused.append((one, str(error)))
        with decision(self._engine) as connection:
            runs.forget_withdrawn(connection)
        return refused

    def refuse(self, one: Shared, why: str) -> None:
        """Note that an entry's newest version is not run, since the platform does not have what it needs."""
        now = self._clock()
        with decision(self._engine) as connection:
            runs.lock_entry(connection, one.id)
            if one.waiting is not None:
                runs.end(connection, one.waiting.id, now, Outcome.CANCELLED, error="There is a newer version.")
            if not runs.has_regular(connection, one.id):
                number = self._add(connection, one, Purpose.REGULAR, Needs("", None), now, now)
                runs.end(connection, number, now, Outcome.REFUSED, error=why)

    def _schedule(self, one: Shared, needs: Needs) -> None:
        now = self._clock()
        with decision(self._engine) as connection:
            runs.lock_entry(connection, one.id)
            if one.waiting is not None:
                # A version that was never run is, soon.
                runs.renew(connection, one.waiting.id, one.newest, needs.image, needs.size, now)
            elif not runs.has_regular(connection, one.id):
                turn = next_run(one.id, one.last, now, self.settings)
                self._add(connection, one, Purpose.REGULAR, needs, now, turn)

    @staticmethod
    def _add(
        connection: Connection, one: Shared, purpose: Purpose, needs: Needs, now: datetime, turn: datetime
    ) -> int:
        return runs.add(
            connection,
            purpose=purpose,
            person=COMMUNITY_ROBOT,
            notebook=ENTRY_FILE.format(name=one.name),
            queued_at=now,
            not_before=turn,
            entry_id=one.id,
            number=one.newest,
            image=needs.image,
            size=needs.size,
        )

    def rehearse(self, image: str, offer: Offer) -> list[int]:
        """Queue a run of every public notebook in an image, in the size that it needs; return the runs' numbers.

        Those whose size the platform does not have are refused at once.
        """
        now = self._clock()
        numbers = []
        with decision(self._engine) as connection:
            for one in runs.shared(connection):
                try:
                    size, why = offer.size(one.tier), None
                except NotOfferedError as error:
                    size, why = None, str(error)
                numbers.append(self._add(connection, one, Purpose.IMAGE, Needs(image, size), now, now))
                if why is not None:
                    runs.end(connection, numbers[-1], now, Outcome.REFUSED, error=why)
        return numbers

    def give_up(self, numbers: list[int]) -> int:
        """Take those of these runs back that have not ended; return how many. Servers that run are stopped."""
        now = self._clock()
        with decision(self._engine) as connection:
            return sum(runs.end(connection, number, now, Outcome.CANCELLED) for number in numbers)

    def later(
        self, person: str, notebook: str, after: datetime | None, *, account: str | None, size: str | None
    ) -> Run:
        """Queue somebody's own notebook.

        Parameters
        ----------
        person
            Whose server is to run it.
        notebook
            Its path in their home.
        after
            When it may start at the earliest; as soon as there is room if not given.
        account
            Who pays; themselves if not given.
        size
            The size of the server; their tier's default if not given.

        Raises
        ------
        RunRefusedError
            There are too many of theirs in the queue, or it is to start in more than a year.
        """
        now = self._clock()
        if after is not None and after > now + timedelta(days=366):
            raise RunRefusedError("A run can wait for a year at most.")
        with decision(self._engine) as connection:
            if (waiting := runs.count_waiting(connection, person)) >= self.settings.own_queued:
                raise RunRefusedError(
                    f"You have {waiting} runs in the queue, and {self.settings.own_queued} are allowed at once. "
                    "Take one back, or wait until one has ended."
                )
            number = runs.add(
                connection,
                purpose=Purpose.OWN,
                person=person,
                notebook=notebook,
                queued_at=now,
                not_before=max(now, after or now),
                account=account,
                size=size,
            )
            return self._known(runs.find(connection, number))

    def cancel(self, person: str, number: int) -> Run:
        """Take somebody's own run out of the queue, or have its server stopped.

        Raises
        ------
        UnknownRunError
            There is no such run of theirs.
        RunRefusedError
            It has ended.
        """
        with decision(self._engine) as connection:
            found = self._known(runs.find(connection, number), person)
            if not runs.end(connection, number, self._clock(), Outcome.CANCELLED):
                raise RunRefusedError(f"The run {number} has ended: there is nothing to take back.")
            return self._known(runs.find(connection, found.id))

    # Running it ----------------------------------------------------------------------------------------------

    def claim(self) -> list[Run]:
        """Take from the queue what there is room for; return it as it is now."""
        now = self._clock()
        with decision(self._engine) as connection:
            shared, own = runs.counts(connection)
            room = [(False, self.settings.at_once - shared), (True, self.settings.own_at_once - own)]
            wanted = [
                one.id
                for is_own, free in room
                if free > 0
                for one in runs.due(connection, now, own=is_own, limit=free)
            ]
            taken = [number for number in wanted if runs.claim(connection, number, now)]
            return runs.find_many(connection, taken)

    def unsettled(self) -> list[Run]:
        """Return what runs, and what has ended and whose server may not have."""
        with reading(self._engine) as connection:
            return list(runs.unsettled(connection))

    def started(self, number: int, lease: int) -> None:
        """Note that a run's server runs, by its lease."""
        with decision(self._engine) as connection:
            runs.note_lease(connection, number, lease)

    def came_to_nothing(self, run: Run, why: str) -> None:
        """Put a run back whose server never came up, or give it up after some tries."""
        now = self._clock()
        with decision(self._engine) as connection:
            if run.tries < self.settings.tries:
                runs.put_back(connection, run.id, now + timedelta(seconds=15 * 2**run.tries))
            else:
                runs.end(connection, run.id, now, Outcome.LOST, error=why)

    def ended(self, number: int, outcome: Outcome, error: str) -> bool:
        """Note the end of a run whose server could not tell of it; return False where it has ended already."""
        with decision(self._engine) as connection:
            return runs.end(connection, number, self._clock(), outcome, error=error)

    def settle(self, number: int, credits: int | None) -> None:  # noqa: A002  -- the field's word
        """Note what an ended run has cost, in units, and that its server is gone."""
        with decision(self._engine) as connection:
            runs.settle(connection, number, credits)

    # What its server is told and says ------------------------------------------------------------------------

    def task(self, number: int, person: str, server: str, content: Callable[[str], bytes]) -> Task:
        """Return what the server of a run is to do.

        Parameters
        ----------
        number
            The run's number.
        person, server
            Whose server asks, and its name.
        content
            Gives a version's file by its digest.

        Raises
        ------
        UnknownRunError
            The run is not that server's, or it does not run.
        """
        with reading(self._engine) as connection:
            found = self._served(runs.find(connection, number), person, server)
            digest = None
            if found.entry_id is not None and found.version is not None:
                digest = runs.digest_of(connection, found.entry_id, found.version)
        own = found.purpose is Purpose.OWN
        return Task(
            id=found.id,
            purpose=found.purpose,
            notebook=found.notebook,
            seconds=self.settings.own_seconds if own else self.settings.seconds,
            output_bytes=self.settings.output_bytes,
            content=None if digest is None else content(digest).decode(),
        )

    def report(self, number: int, person: str, server: str, report: Report) -> Run:
        """Note what the server of a run says at its end. What it says again changes nothing.

        Raises
        ------
        UnknownRunError
            The run is not that server's.
        """
        with decision(self._engine) as connection:
            found = self._known(runs.find(connection, number), person)
            if server != server_of(found.id) or found.started_at is None:
                raise UnknownRunError(f"There is no run {number} of this server's.")
            runs.end(
                connection,
                number,
                self._clock(),
                Outcome.PASSED if report.passed else Outcome.FAILED,
                **report.model_dump(exclude={"passed"}),
            )
            return self._known(runs.find(connection, number))

    # Reading -------------------------------------------------------------------------------------------------

    def of_person(self, person: str, *, limit: int = 50, before: int | None = None) -> list[Run]:
        """Return somebody's own runs, the newest first."""
        with reading(self._engine) as connection:
            return list(runs.of_person(connection, person, limit=limit, before=before))

    def of_entry(self, name: str, *, limit: int) -> list[Run]:
        """Return the last regular runs of an entry that have ended, the newest first."""
        with reading(self._engine) as connection:
            return list(runs.of_entry(connection, name, limit=limit))

    def many(self, numbers: list[int]) -> list[Run]:
        """Return the runs of these numbers, in their order."""
        with reading(self._engine) as connection:
            return list(runs.find_many(connection, numbers))

    def names(self, entry_ids: set[int]) -> dict[int, str]:
        """Return entries' names by their numbers."""
        with reading(self._engine) as connection:
            return runs.names_of(connection, entry_ids)

    def proofs(self, entry_ids: set[int]) -> dict[int, Proof]:
        """Return what is true of entries, by their numbers."""
        with reading(self._engine) as connection:
            found = status(connection, entry_ids, self._clock(), stale_after=self.settings.stale_after)
        return {number: one.proof for number, one in found.items()}

    def changes(self, entry_ids: set[int] | None = None) -> list[tuple[Shared, Status]]:
        """Return the public notebooks of which another thing is true than was noted last, with what is true."""
        with reading(self._engine) as connection:
            found = runs.shared(connection, entry_ids)
            known = status(
                connection, [one.id for one in found], self._clock(), stale_after=self.settings.stale_after
            )
        return [(one, known[one.id]) for one in found if known[one.id].proof is not one.proof]

    def noted(self, entry_id: int, proof: Proof) -> None:
        """Note what is true of an entry, after its author was told."""
        with decision(self._engine) as connection:
            runs.set_proof(connection, entry_id, proof, self._clock())

    @staticmethod
    def _known(found: Run | None, person: str | None = None) -> Run:
        if found is None or (person is not None and found.person != person):
            raise UnknownRunError("There is no such run of yours.")
        return found

    def _served(self, found: Run | None, person: str, server: str) -> Run:
        known = self._known(found, person)
        if known.server != server or known.ended_at is not None:
            raise UnknownRunError(f"There is no run {known.id} for this server.")
        return known
