"""Answer queries: what a reader may see of the store, the limits, and the threads that wait for the database."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from romanhub.discovery import schema
from romanhub.discovery.access import Reader
from romanhub.discovery.adql.parsing import AdqlError
from romanhub.discovery.adql.translate import Translated, translate
from romanhub.discovery.answer import Answer
from romanhub.discovery.engine import Engine, Limits, Statement, Stop, Store
from romanhub.discovery.settings import DiscoverySettings, QuerySettings
from romanhub.discovery.tables import Entry

Found = TypeVar("Found")


class BusyError(Exception):
    """Too much is asked at once; the message says of whom, and what to do."""


@dataclass(frozen=True)
class Query:
    """A query in ADQL, with what came along."""

    text: str
    most: int
    seconds: float
    uploads: Mapping[str, tuple[Entry, pa.Table]]


class Search:
    """Answers queries. `run` is for the event loop; everything else waits and is for threads."""

    def __init__(self, settings: DiscoverySettings, engine: Engine) -> None:
        self.url = settings.url
        self.limits: QuerySettings = settings.queries
        self.engine = engine
        self._threads = ThreadPoolExecutor(self.limits.at_once, thread_name_prefix="search")
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()

    def close(self) -> None:
        """Let no new query begin."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def tables(self, reader: Reader, store: Store) -> dict[str, Entry]:
        """Return the tables that a reader may read, by full name in lower case."""
        entries = (*store.contents.tables, *schema.ENTRIES)
        return {
            entry.full.lower(): entry
            for entry in entries
            if entry.dataset is None or entry.dataset in reader.datasets
        }

    def translate(self, reader: Reader, query: Query) -> tuple[Store, Translated, dict[str, pa.Table]]:
        """Return what to run for a query. Raises AdqlError and NotReadyError."""
        store = self.engine.store()
        tables = self.tables(reader, store)
        known = tables | {name: entry for name, (entry, _) in query.uploads.items()}
        found = translate(query.text, known, reader.datasets, most=query.most + 1)
        beside = {entry.stored: table for entry, table in query.uploads.values()}
        if any(entry.db == "tap_schema" for entry in found.entries):
            beside |= schema.rows(tables.values())
        return store, found, beside

    def answer(self, reader: Reader, query: Query, stop: Stop | None = None) -> Answer:
        """Return the answer to a query.

        Raises AdqlError, QueryFailedError, NotReadyError.
        """
        store, found, beside = self.translate(reader, query)
        rows = self.engine.run(store, Statement(found.sql, beside=beside), Limits(query.seconds, query.most), stop)
        if rows.num_columns != len(found.columns):
            raise AdqlError("The query's columns could not be told apart. Give each a name with AS.")
        return Answer.of(rows, found.columns, most=query.most, base=self.url)

    def rows(self, reader: Reader, sql: str, parameters: list[object] | None = None) -> pa.Table:
        """Run a statement of this service's own and return its rows; the caller sees to who may read what."""
        store = self.engine.store()
        limits = Limits(self.limits.sync_seconds, self.limits.most_rows)
        return self.engine.run(store, Statement(sql, parameters or ()), limits)

    async def run(self, reader: Reader, work: Callable[[], Found]) -> Found:
        """Have a thread do what waits, in turn; each reader may have a few under way.

        Raises BusyError, and what the work raises.
        """
        with self._lock:
            if self._asked[reader.name] >= self.limits.running_each * 4:
                raise BusyError("As many of your queries are under way as may be. Wait for one of them to end.")
            if sum(self._asked.values()) >= self.limits.at_once + self.limits.waiting:
                raise BusyError("The archive has more queries to answer than it can take. Try again in a minute.")
            self._asked[reader.name] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            with self._lock:
                self._asked[reader.name] -= 1
                if not self._asked[reader.name]:
                    del self._asked[reader.name]
