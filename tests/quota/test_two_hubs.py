"""Two real hubs on one ledger in PostgreSQL, of which one is killed at any moment while starts and stops go on.

The test prints its seed: with the same one the same people want the same things.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Event

import httpx
import pytest
from hubquota.models.money import rate_of
from hubquota.services.ledger import MINIMUM_SECONDS, Ledger
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate

from tests.quota.support import Hub, Postgres, eventually, new_hub, reconcile

#: Servers that the project can pay at once, and people on each hub who want one again and again.
ROOM, PEOPLE = 2, 2


@pytest.fixture
def two_hubs(postgres: Postgres, tmp_path: Path) -> Iterator[tuple[Ledger, list[Hub]]]:
    """Two real hubs on one PostgreSQL ledger, whose people share a project with a budget for a few servers."""
    postgres.new_database("hubs")
    url = postgres.url("hubs")
    engine = make_engine(url)
    migrate(engine)
    ledger = Ledger(engine)
    hubs = [new_hub(tmp_path / f"hub-{number}", url, ledger) for number in range(2)]
    ledger.open_project("survey", "explorer", pi="h0-p0", actor="test")
    for name in _people(0) + _people(1):
        if name != "h0-p0":
            ledger.set_member("survey", name, "member", actor="test")
    budget = rate_of("0.04") * MINIMUM_SECONDS * (ROOM + 1) - 1
    ledger.grant("survey", budget, actor="test", reason="x", key="survey")
    try:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(Hub.start, hubs))
        yield ledger, hubs
    finally:
        for hub in hubs:
            hub.close()
        engine.dispose()


def test_two_hubs_of_which_one_is_killed_share_one_budget(two_hubs: tuple[Ledger, list[Hub]], seed: int) -> None:
    print(f"seed {seed}")
    ledger, hubs = two_hubs
    dice = Random(seed)
    over, most, refused = Event(), [0], [0]

    def want(hub: Hub, name: str) -> None:
        wish = Random(f"{seed}{name}")
        api = hub.api()
        with suppress(httpx.HTTPError):
            api.post(f"users/{name}")
        while not over.is_set():
            try:
                answer = api.post(f"users/{name}/server", json={"size": "small", "account": "survey"})
                refused[0] += answer.status_code == httpx.codes.FORBIDDEN
                over.wait(wish.uniform(0, 0.6))
                api.delete(f"users/{name}/server")
            except httpx.HTTPError:
                over.wait(0.1)  # killed, and about to be back

    def look() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], len(ledger.open_leases(account="survey")))

    with ThreadPoolExecutor(2 * PEOPLE + 1) as threads:
        work = [threads.submit(want, hub, name) for number, hub in enumerate(hubs) for name in _people(number)]
        work.append(threads.submit(look))
        try:
            for _ in range(2):
                eventually(lambda: ledger.statement("survey").running, "something that runs")
                over.wait(dice.uniform(0.2, 1.5))
                hubs[1].kill()
                assert ledger.verify() == []
                hubs[1].start()
            eventually(lambda: len(ledger.statement("survey").ended) >= 5, "servers that have ended")
        finally:
            over.set()
        for done in work:
            done.result()
    for number, hub in enumerate(hubs):
        for name in _people(number):
            hub.api().delete(f"users/{name}/server")
            eventually(lambda hub=hub, name=name: hub.server(name) is None, f"the end of {name}'s server")
    # What was admitted and never began when the hub was killed is closed by a pass of the watch.
    reconcile(ledger)
    assert ledger.open_leases() == []
    assert ledger.verify() == []
    assert 0 < most[0] <= ROOM
    assert refused[0]
    statement = ledger.statement("survey", limit=10_000)
    charged = -sum(line.amount for line in statement.entries if line.kind == "charge")
    ran = sum(lease.rate * lease.seconds(lease.admitted_at) for lease in statement.ended)
    assert charged == ran == sum(lease.charged for lease in statement.ended)
    assert statement.balance.posted == statement.balance.available


def _people(hub: int) -> list[str]:
    return [f"h{hub}-p{number}" for number in range(PEOPLE)]
