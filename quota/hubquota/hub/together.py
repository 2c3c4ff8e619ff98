"""Questions that are answered together: whatever waits at one moment goes to the ledger in one transaction.

A crowd that starts servers at the same moment then costs a few transactions rather than one each. There is at most
one batch under way; what is asked meanwhile is the next one. Whoever asks has a deadline of their own, and is not
kept waiting by what is wrong with another question: a batch that fails is asked again, each question by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from hubquota.hub import metrics

log = logging.getLogger(__name__)

Question = TypeVar("Question")
Answer = TypeVar("Answer")

#: How many questions are in one batch at most.
_LARGEST = 128
#: So many answers are given in one turn of the loop: others have theirs in between.
_A_TURN = 8


class LedgerDownError(Exception):
    """The ledger's database did not answer in time, or not at all."""


def no_answer(deadline: float) -> LedgerDownError:
    """Note that a question was not answered within so many seconds; return what to raise."""
    metrics.TIMEOUTS.inc()
    return LedgerDownError(f"The ledger's database did not answer within {deadline:g} s.")


def failed(error: BaseException) -> LedgerDownError:
    """Note that the database failed; return what to raise."""
    metrics.FAILURES.inc()
    log.error("The ledger's database failed: %s", error)
    return LedgerDownError("The ledger's database failed.")


@dataclass(slots=True)
class _Asked(Generic[Question, Answer]):
    """A question, and where its answer is waited for. That is done when nobody waits any more."""

    question: Question
    answer: asyncio.Future[Answer]


class Together(Generic[Question, Answer]):
    """Asks questions in batches, in threads, for one event loop."""

    def __init__(
        self,
        decide: Callable[[Sequence[Question]], Sequence[Answer | Exception]],
        *,
        threads: ThreadPoolExecutor,
        deadline: float,
        late: Callable[[Answer], None],
    ) -> None:
        """Ask by a function.

        Args:
            decide: answers many questions at once, in their order, all or none of them; what is an exception
                is raised for who asked. It is called in a thread.
            threads: where.
            deadline: seconds within which a question has to be answered.
            late: is told, in the loop, of an answer that came when nobody waited for it any more.
        """
        self._decide = decide
        self._threads = threads
        self._deadline = deadline
        self._late = late
        self._waiting: deque[_Asked[Question, Answer]] = deque()
        self._busy = False

    async def ask(self, question: Question) -> Answer:
        """Return the answer.

        Raises:
            LedgerDownError: there was none within the deadline.
            Exception: what the answer is.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append(_Asked(question, answer))
        if not self._busy:
            self._busy = True
            # What else is asked in this turn of the loop goes with it.
            loop.call_soon(self._next, loop)
        timer = loop.call_later(self._deadline, self._too_late, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def _too_late(self, answer: asyncio.Future[Answer]) -> None:
        if not answer.done():
            answer.set_exception(no_answer(self._deadline))

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what waits to a thread."""
        batch: list[_Asked[Question, Answer]] = []
        while self._waiting and len(batch) < _LARGEST:
            asked = self._waiting.popleft()
            if not asked.answer.done():
                batch.append(asked)
        self._busy = bool(batch)
        if batch:
            self._threads.submit(self._run, loop, batch, last=True)

    def _run(
        self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Asked[Question, Answer]], *, last: bool
    ) -> None:
        """Decide about a batch, in a thread.

        Args:
            loop: where the answers are waited for.
            batch: the questions.
            last: whether the next batch waits for this one.
        """
        # Somebody may have given up while this waited for a thread.
        batch = [asked for asked in batch if not asked.answer.done()]
        try:
            answers = self._decide([asked.question for asked in batch])
        except Exception as error:
            loop.call_soon_threadsafe(self._failed, loop, batch, error, last)
        else:
            loop.call_soon_threadsafe(self._arrived, loop, deque(zip(batch, answers, strict=True)), last)

    def _failed(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Sequence[_Asked[Question, Answer]],
        error: Exception,
        last: bool,
    ) -> None:
        if last:
            self._next(loop)
        if len(batch) > 1:
            # One of them may be what is wrong: each by itself, and none waits for another.
            for asked in batch:
                self._threads.submit(self._run, loop, [asked], last=False)
            return
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(failed(error) if isinstance(error, SQLAlchemyError) else error)

    def _arrived(
        self,
        loop: asyncio.AbstractEventLoop,
        answers: deque[tuple[_Asked[Question, Answer], Answer | Exception]],
        last: bool,
    ) -> None:
        if last:
            self._next(loop)
        for _ in range(min(_A_TURN, len(answers))):
            asked, found = answers.popleft()
            if asked.answer.done():
                if not isinstance(found, Exception):
                    self._late(found)
            elif isinstance(found, Exception):
                asked.answer.set_exception(found)
            else:
                asked.answer.set_result(found)
        if answers:
            loop.call_soon(self._arrived, loop, answers, False)
