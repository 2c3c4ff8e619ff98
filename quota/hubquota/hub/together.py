"""Questions that are answered together: whatever waits at one moment goes to the ledger in one transaction.

A crowd that starts servers at the same moment then costs a few transactions rather than one each. There is at most
one batch under way; what is asked meanwhile is the next one. Whoever asks has a deadline of their own, and is not
kept waiting by what is wrong with another question: a batch that fails is asked again, each question by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from hubquota.hub import metrics

log = logging.getLogger(__name__)

Question = TypeVar("Question")
Answer = TypeVar("Answer")

#: How many questions are in one batch at most.
_LARGEST = 128
#: While questions come in at every turn of the loop, a batch waits for them for so many seconds at most.
_GATHER = 0.004
#: So many answers are given in one turn of the loop: others have theirs in between.
_A_TURN = 16


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


@dataclass(slots=True, eq=False)
class _Asked(Generic[Question, Answer]):
    """A question, and where its answer is waited for. That is done when nobody waits any more."""

    question: Question
    answer: asyncio.Future[Answer]
    #: When it is too late for one, by the loop's clock.
    due: float


Batch = list[_Asked[Question, Answer]]


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
        #: The batch that the next one waits for.
        self._under_way: Batch[Question, Answer] | None = None
        #: What has been asked, in the order in which it is due: one timer is enough for all of it, and drops what
        #: has been answered.
        self._asked: deque[_Asked[Question, Answer]] = deque()
        self._timed = False
        # A call of the loop's without one copies the present one each time.
        self._context = copy_context()

    def ask(self, question: Question) -> asyncio.Future[Answer]:
        """Return the answer to come. To give up waiting is to cancel it.

        It raises:
            LedgerDownError: there was none within the deadline.
            Exception: what the answer is.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        now = loop.time()
        asked = _Asked(question, answer, now + self._deadline)
        self._waiting.append(asked)
        self._asked.append(asked)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._gather, loop, 0, context=self._context)
        if not self._timed:
            self._timed = True
            loop.call_at(asked.due, self._look_for_late, loop)
        return answer

    def _gather(self, loop: asyncio.AbstractEventLoop, seen: int) -> None:
        """Send what waits as soon as a turn of the loop has brought nothing more."""
        waiting = self._waiting
        number = len(waiting)
        if seen < number < _LARGEST and waiting[-1].due - waiting[0].due < _GATHER:
            loop.call_soon(self._gather, loop, number, context=self._context)
        else:
            self._next(loop)

    def _look_for_late(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up on what is due, and look again when the next one is."""
        now = loop.time()
        self._forget_answered()
        while self._asked and self._asked[0].due <= now:
            late = self._asked.popleft()
            late.answer.set_exception(no_answer(self._deadline))
            if self._under_way is not None and late in self._under_way:
                # Whatever it hangs on, others go on in another thread.
                self._next(loop)
            self._forget_answered()
        self._timed = bool(self._asked)
        if self._timed:
            loop.call_at(self._asked[0].due, self._look_for_late, loop)

    def _forget_answered(self) -> None:
        while self._asked and self._asked[0].answer.done():
            self._asked.popleft()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what waits to a thread."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LARGEST))]
        self._busy = bool(batch)
        self._under_way = batch or None
        if batch:
            self._threads.submit(self._run, loop, batch)

    def _run(self, loop: asyncio.AbstractEventLoop, batch: Batch[Question, Answer]) -> None:
        """Decide about a batch, in a thread."""
        # Somebody may have given up while it waited.
        wanted = [asked for asked in batch if not asked.answer.done()]
        try:
            answers = self._decide([asked.question for asked in wanted])
        except Exception as error:
            loop.call_soon_threadsafe(self._failed, loop, batch, error)
        else:
            found = zip(wanted, answers, strict=True)
            loop.call_soon_threadsafe(self._arrived, loop, batch, found)

    def _done(self, loop: asyncio.AbstractEventLoop, batch: Batch[Question, Answer]) -> None:
        if self._under_way is batch:
            self._under_way = None
            self._gather(loop, 0)

    def _failed(self, loop: asyncio.AbstractEventLoop, batch: Batch[Question, Answer], error: Exception) -> None:
        self._done(loop, batch)
        if len(batch) > 1:
            # One of them may be what is wrong: each by itself, and none waits for another.
            for asked in batch:
                self._threads.submit(self._run, loop, [asked])
        elif not batch[0].answer.done():
            answer = batch[0].answer
            answer.set_exception(failed(error) if isinstance(error, SQLAlchemyError) else error)

    def _arrived(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Batch[Question, Answer],
        answers: Iterator[tuple[_Asked[Question, Answer], Answer | Exception]],
    ) -> None:
        self._done(loop, batch)
        given = 0
        for asked, found in islice(answers, _A_TURN):
            given += 1
            if asked.answer.done():
                if not isinstance(found, Exception):
                    self._late(found)
            elif isinstance(found, Exception):
                asked.answer.set_exception(found)
            else:
                asked.answer.set_result(found)
        if given == _A_TURN:
            loop.call_soon(self._arrived, loop, batch, answers)
