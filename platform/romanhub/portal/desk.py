"""Where the portal's routes ask the ledger: its calls block, so each runs in a thread and within a deadline."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import anyio
import anyio.to_thread
from hubquota.models.tiers import Tier, Tiers
from hubquota.services.bulk import Bulk
from hubquota.services.decisions import Decisions
from hubquota.services.delivery import Preferences
from hubquota.services.history import Histories
from hubquota.services.ledger import Ledger
from hubquota.services.pastclusters import PastClusters
from hubquota.services.projects import Projects
from hubquota.services.purge import PurgeRegister
from hubquota.services.requests import Requests
from hubquota.services.tiersfile import TiersFile
from hubquota.services.whatif import WhatIf
from sqlalchemy.exc import SQLAlchemyError

from romanhub.portal.problems import invalid

log = logging.getLogger(__name__)

_Found = TypeVar("_Found")


class LedgerUnavailableError(Exception):
    """The ledger's database did not answer, or not in time.

    `acting` says that something was to be changed, and that it is not known whether it was.
    """

    def __init__(self, *, acting: bool = False) -> None:
        super().__init__()
        self.acting = acting


class Desk:
    """The parts of the ledger, the tiers file and the clock, each question with a deadline."""

    def __init__(
        self, ledger: Ledger, tiers: TiersFile, *, clock: Callable[[], datetime], deadline: float
    ) -> None:
        """Use a ledger.

        Args:
            ledger: the ledger, on a database that has been set up.
            tiers: the tiers file.
            clock: gives the present time, with its zone.
            deadline: how long one question may wait for the ledger, in seconds.
        """
        self.ledger = ledger
        self.requests = Requests.sharing(ledger)
        self.decisions = Decisions.sharing(ledger)
        self.histories = Histories.sharing(ledger)
        self.projects = Projects.sharing(ledger)
        self.past_clusters = PastClusters.sharing(ledger)
        self.bulk = Bulk.sharing(ledger)
        self.preferences = Preferences.sharing(ledger)
        self.purges = PurgeRegister.sharing(ledger)
        self.what_if = WhatIf.sharing(ledger)
        self.clock = clock
        self._tiers = tiers
        self._deadline = deadline

    @property
    def tiers(self) -> Tiers:
        """What the tiers file says now."""
        return self._tiers.current()

    def tier(self, name: str) -> Tier:
        """Return the tier of that name; raises PortalError where there is none."""
        tiers = self.tiers.tiers
        if name not in tiers:
            raise invalid(f"There is no tier '{name}'. The tiers are {', '.join(tiers)}.")
        return tiers[name]

    async def ask(self, question: Callable[[], _Found], *, deadline: float | None = None) -> _Found:
        """Return what a question that changes nothing finds; raises LedgerUnavailableError.

        Args:
            question: the question.
            deadline: how long it may take, in seconds, where that is not as long as any other.
        """
        return await self._run(question, acting=False, deadline=deadline)

    async def act(self, act: Callable[[], _Found]) -> _Found:
        """Return what came of an act; raises LedgerUnavailableError where that is not known."""
        return await self._run(act, acting=True)

    async def _run(self, call: Callable[[], _Found], *, acting: bool, deadline: float | None = None) -> _Found:
        seconds = deadline or self._deadline
        try:
            with anyio.fail_after(seconds):
                return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        except TimeoutError as error:
            log.error("The ledger did not answer within %s s.", seconds)
            raise LedgerUnavailableError(acting=acting) from error
        except ValueError as error:
            # A service's word on what it was given; its own kinds of it say more, and what is raised
            # elsewhere is a mistake of the portal's.
            if type(error) is not ValueError:
                raise
            raise invalid(str(error)) from error
        except SQLAlchemyError as error:
            log.exception("The ledger could not be used.")
            raise LedgerUnavailableError(acting=acting) from error
