"""Runs jobs: each in turn in a thread, and stops those that are aborted or deleted."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from romanhub.discovery.access import Reader
from romanhub.discovery.engine import Stop
from romanhub.discovery.failures import KINDS, message_of
from romanhub.discovery.jobs import Job, Jobs, JobStateError, Phase, UnknownJobError
from romanhub.discovery.params import Params
from romanhub.discovery.search import Search
from romanhub.discovery.tap.requests import understand

log = logging.getLogger(__name__)


class Runner:
    """Runs jobs. What a job may read is what its owner might when it was started."""

    def __init__(self, jobs: Jobs, search: Search) -> None:
        self._jobs, self._search = jobs, search
        self._threads = ThreadPoolExecutor(max(1, search.limits.at_once // 2), thread_name_prefix="job")
        self._lock = threading.Lock()
        self._stops: dict[str, Stop] = {}
        #: Those that wait for another of their owner's to end.
        self._held: dict[str, list[tuple[Reader, Job]]] = {}
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()

    def close(self) -> None:
        """Stop what runs; it will have failed when the service starts again."""
        with self._lock:
            for stop in self._stops.values():
                stop.now()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def start(self, reader: Reader, job: Job) -> Job:
        """Start a job, or have it wait for its turn. Raises JobStateError, UnknownJobError."""
        queued = self._jobs.queue(job.owner, job.id)
        with self._lock:
            self._stops[job.id] = Stop()
            if self._running[job.owner] >= self._search.limits.running_each:
                self._held.setdefault(job.owner, []).append((reader, queued))
                return queued
            self._running[job.owner] += 1
        self._threads.submit(self._run, reader, queued)
        return queued

    def stop(self, number: str) -> None:
        """Stop a job's query, if it has one."""
        with self._lock:
            stop = self._stops.get(number)
        if stop is not None:
            stop.now()

    def wait(self, owner: str, number: str, phase: Phase, seconds: float) -> Job:
        """Return a job once it is not in that phase any more, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs.get(owner, number).phase != phase, timeout=seconds)
        return self._jobs.get(owner, number)

    def tell(self) -> None:
        """Have those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def _run(self, reader: Reader, job: Job) -> None:
        try:
            self._answer(reader, job, self._stops[job.id])
        finally:
            with self._lock:
                self._stops.pop(job.id, None)
                held = self._held.get(job.owner)
                following = held.pop(0) if held else None
                if following is None:
                    self._held.pop(job.owner, None)
                    self._running[job.owner] -= 1
                    if not self._running[job.owner]:
                        del self._running[job.owner]
            self.tell()
            if following is not None:
                self._threads.submit(self._run, *following)

    def _answer(self, reader: Reader, job: Job, stop: Stop) -> None:
        try:
            begun = self._jobs.begin(job.owner, job.id)
            self.tell()
            files = self._files(begun)
            asked = understand(Params(begun.params, files), self._search.limits, seconds=begun.seconds)
            content = asked.form.write(self._search.answer(reader, asked.query, stop))
            self._jobs.complete(
                job.owner, job.id, content, media_type=asked.form.media_type, ending=asked.form.ending
            )
        except (UnknownJobError, JobStateError):
            return  # It was deleted or aborted, and nobody wants to know.
        except Exception as error:
            if type(error) not in KINDS:
                log.exception("A job failed.")
            said = message_of(error) if type(error) in KINDS else "The service failed; its log says why."
            try:
                self._jobs.fail(job.owner, job.id, said)
            except (UnknownJobError, JobStateError):
                return

    def _files(self, job: Job) -> dict[str, bytes]:
        found = {}
        for name, value in job.params:
            if name == "UPLOAD":
                for pair in value.split(";"):
                    part = pair.partition(",")[2].strip().partition(":")[2]
                    path = self._jobs.upload_path(job.id, part)
                    if part and path.exists():
                        found[part] = path.read_bytes()
        return found
