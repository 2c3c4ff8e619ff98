"""What another tiers file would have done: one replay at a time, and within a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Lock

from hubquota.models.whatif import Budgets
from hubquota.services.tiersfile import TiersFileError
from hubquota.services.whatif import Report, policy_of_text

from romanhub.portal.desk import Desk, LedgerUnavailableError
from romanhub.portal.problems import PortalError, invalid

#: The longest tiers file that is read, in characters, and the longest range of time, in days.
LONGEST_FILE = 128 * 1024
LONGEST_DAYS = 400
#: What a replay may go over its deadline until it looks at the time again, in seconds.
_MARGIN = 5.0


class _TooLongError(Exception):
    """The replay has used up its time."""


class Trying:
    """Replays use under another tiers file."""

    def __init__(self, desk: Desk, *, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Replay the ledger's use.

        Args:
            desk: where the ledger is asked.
            seconds: how long one replay may take.
            monotonic: a clock for that.
        """
        self._desk = desk
        self._seconds = seconds
        self._monotonic = monotonic
        # It computes in this very process: a second one would hold up everybody's pages.
        self._turn = Lock()

    async def run(
        self, text: str, since: datetime, until: datetime | None, *, budgets: Budgets = "tier"
    ) -> Report:
        """Return what a tiers file would have done to the use of a range of time.

        Args:
            text: the file.
            since: the first moment.
            until: the first moment after the range; now if not given, and at the latest.
            budgets: as for `WhatIf.run`.

        Raises:
            PortalError: the file has mistakes, each of which is named with its line; the range or the file is
                too long; another replay is under way; or the time for it is used up.
            LedgerUnavailableError: the ledger did not answer.
        """
        if len(text) > LONGEST_FILE:
            raise invalid(f"A tiers file has up to {LONGEST_FILE} letters here. {_COMMAND}")
        end = min(until or self._desk.clock(), self._desk.clock())
        if end <= since:
            raise invalid("The range of time is to end after it begins, and to begin before now.")
        if end - since > timedelta(days=LONGEST_DAYS):
            raise invalid(f"The range of time is longer than {LONGEST_DAYS} days. {_COMMAND}")
        late = self._monotonic() + self._seconds

        def in_time(_more: object) -> None:
            if self._monotonic() > late:
                raise _TooLongError

        def replay() -> Report:
            if not self._turn.acquire(blocking=False):
                raise PortalError(
                    HTTPStatus.CONFLICT,
                    f"Another replay is under way, and there is one at a time. Try again in a minute. {_COMMAND}",
                    title="Somebody else is trying a file",
                )
            try:
                policy = policy_of_text(text, since, end, name="the file")
                in_time(None)
                return self._desk.what_if.run(policy, since, end, budgets=budgets, done=in_time)
            finally:
                self._turn.release()

        try:
            return await self._desk.ask(replay, deadline=self._seconds + _MARGIN)
        except TiersFileError as error:
            raise invalid(str(error)) from None
        except _TooLongError:
            raise self._too_long() from None
        except LedgerUnavailableError as error:
            if isinstance(error.__cause__, TimeoutError):
                raise self._too_long() from None
            raise

    def _too_long(self) -> PortalError:
        return PortalError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"The replay took longer than {self._seconds:g} seconds and was stopped. Choose a shorter range of "
            f"time. {_COMMAND}",
            title="It takes too long for a page",
        )


_COMMAND = "On the platform, `hubquota what-if` has no such limit."
