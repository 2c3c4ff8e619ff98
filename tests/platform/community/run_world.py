"""A queue of runs with its runner, for tests: a real catalogue, a real ledger, and a clock of its own.

The hub is a stand-in, so that a runner can be killed between any two of its steps thousands of times; it does what
the real one was seen to do, and asks the real ledger at each start. `test_runs_of_a_platform.py` has a real one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hubquota.hub.keys import server_key
from hubquota.models.ledger import Refused
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.community.proof.hub import HubDownError, ServerState, StartRefusedError
from romanhub.community.proof.needs import Offer
from romanhub.community.proof.queue import Queue, UnknownRunError
from romanhub.community.proof.runner import Runner
from romanhub.community.proof.settings import RunSettings
from romanhub.models.runs import Report, Run, run_of

from tests.platform.community.shelf import Shelf

TIERS = Path(__file__).resolve().parents[3] / "hub_config" / "tiers.yaml"

#: What a small server costs, in units a second.
RATE = 40_000


class Killed(BaseException):
    """The runner's process was killed here."""


def go_on(_where: str) -> None:
    """Let the runner live."""


class StandInHub:
    """A hub's servers. `at` is called before and after everything that it does, and may kill the runner."""

    def __init__(self, ledger: Ledger, at: Callable[[str], None] = go_on) -> None:
        self._ledger = ledger
        self.at = at
        self.users: set[str] = set()
        #: The servers, with their leases.
        self.servers: dict[tuple[str, str], int] = {}
        #: Every server that was ever started, in order.
        self.started: list[tuple[str, str, dict[str, str]]] = []
        self.is_down = False
        #: What is said to the next starts that come to nothing.
        self.failing: list[str] = []
        self.said = ""

    async def ensure_user(self, name: str) -> None:
        self._look("user")
        self.users.add(name)

    async def start(self, person: str, server: str, options: dict[str, str]) -> None:
        self._look("before a start")
        assert (person, server) not in self.servers, "a second server of that name"
        self.started.append((person, server, options))
        if self.failing:
            self.said = self.failing.pop()
            return
        try:
            lease = self._ledger.admit(
                options.get("account", person),
                person=person,
                kind="server",
                key=server_key(person, server),
                label="Small server",
                rate=RATE,
                ask="Ask for more.",
            )
        except Refused as refused:
            raise StartRefusedError(refused.message) from None
        self._ledger.begin(lease.id)
        self.servers[person, server] = lease.id
        self._look("after a start")

    async def state(self, person: str, server: str) -> ServerState:
        self._look("state")
        return ServerState.READY if (person, server) in self.servers else ServerState.ABSENT

    async def why(self, person: str, server: str) -> str:
        return self.said

    async def stop(self, person: str, server: str) -> bool:
        self._look("before a stop")
        self.die(person, server, "It was stopped.")
        self._look("after a stop")
        return True

    def die(self, person: str, server: str, reason: str) -> None:
        """End a server."""
        if (lease := self.servers.pop((person, server), None)) is not None:
            self._ledger.close(lease, reason=reason)

    def _look(self, where: str) -> None:
        if self.is_down:
            raise HubDownError("The hub does not answer.")
        self.at(where)


class RunWorld:
    """A shelf of entries, a queue, a hub, and a runner that can be killed and started again."""

    def __init__(self, shelf: Shelf, folder: Path, **settings: object) -> None:
        self.shelf = shelf
        engine = make_engine(f"sqlite:///{folder / 'ledger.sqlite'}")
        migrate(engine)
        self.ledger = Ledger(engine, lambda: shelf.now)
        self.queue = Queue(shelf.engine, RunSettings.model_validate(settings), lambda: shelf.now)
        self.hub = StandInHub(self.ledger)
        #: What each run's notebook says, by the run's notebook; passed where nothing is said.
        self.reports: dict[str, Report] = {}
        self.restart()

    def restart(self) -> None:
        """Start a runner that knows nothing."""
        self.runner = Runner(
            self.queue,
            self.hub,
            self.ledger,
            TiersFile(TIERS),
            lambda: self.shelf.now,
            image="roman:2",
            images=("full",),
        )
        self.offer = Offer(TiersFile(TIERS).current(), self.queue.settings)

    async def turn(self, *, seconds: float = 60) -> None:
        """Let the runner look once, the notebooks run, and the runner look again."""
        await self.runner.survey()
        await self.runner.step()
        self.work()
        self.shelf.wait(seconds=seconds)
        await self.runner.step()

    def work(self) -> None:
        """Have every server that is up run its notebook and say how that went, as its own module does."""
        for person, server in list(self.hub.servers):
            number = run_of(server)
            assert number is not None
            try:
                task = self.queue.task(number, person, server, self.shelf.bucket.get)
            except UnknownRunError:
                continue
            report = self.reports.get(task.notebook, Report(passed=True, seconds=2.5, image_digest="roman-1"))
            self.queue.report(number, person, server, report)

    def runs(self) -> list[Run]:
        """Every run, in the order of their numbers."""
        return self.queue.many(list(range(1, 500)))

    def told(self, person: str) -> list[str]:
        """The subjects of somebody's notices, the oldest first."""
        return [one.subject for one in reversed(self.ledger.notices(person))]
