from __future__ import annotations

from datetime import timedelta

import pytest
from hubquota.models.reading import AccountOrder, AccountQuery, AccountState
from hubquota.services.ledger import Ledger
from hubquota.storage import directory
from hubquota.storage.engine import reading
from hubquota.storage.parts import PART_LETTERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from tests.quota.support import Clock

NAMES = ["ada", "Ada-Lovelace", "o'brien 50%", "aaaa", "benjamin-thompson-de-la-cruz@physics.example.edu", "zoë_b"]
_letters = st.text(st.sampled_from("aAb-%_@é "), min_size=1, max_size=30)
_names = _letters.map(str.strip).filter(bool)


def pages(ledger: Ledger, query: AccountQuery, limit: int) -> list[str]:
    """Every name that a query finds, read page by page."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = ledger.directory(query, limit=limit, after=after)
        assert len(page.rows) <= limit
        found += [row.summary.account.name for row in page.rows]
        if page.next_after is None:
            return found
        after = page.next_after


@given(names=st.lists(_names, unique=True, max_size=12), search=_letters, limit=st.integers(1, 5))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
def test_a_search_finds_every_name_with_the_text_in_it_once(
    ledger: Ledger, names: list[str], search: str, limit: int
) -> None:
    for name in [*NAMES, *names]:
        ledger.open_account(name, "explorer", 0, actor="test")
    everybody = pages(ledger, AccountQuery(), 500)
    assert set(names) <= set(everybody)

    found = pages(ledger, AccountQuery(search=search), limit)

    assert len(found) == len(set(found))
    assert set(found) == {name for name in everybody if search.casefold() in name.casefold()}


def test_a_search_longer_than_what_is_kept_of_a_name_still_compares_all_of_it(ledger: Ledger) -> None:
    for ending in ("x", "y"):
        ledger.open_account("n" * 2 * PART_LETTERS + ending, "explorer", 5, actor="test", term_days=3)
    search = "n" * (PART_LETTERS + 3) + "Y"
    for order in ("name", "end", "balance"):
        assert len(pages(ledger, AccountQuery(search=search, order=order), 3)) == 1  # type: ignore[arg-type]


@pytest.fixture
def many(ledger: Ledger, clock: Clock) -> Ledger:
    """Accounts in every state: "a" pays, "b" has nothing left, "c" is suspended, "d" starts later, "e" is over."""
    for name, days in (("a1", 10), ("a2", 20), ("b", 30), ("c", 40), ("e", 1)):
        ledger.open_account(name, "explorer", 100 * (days + 1), actor="test", term_days=days)
    ledger.correct("b", -3100, actor="test", reason="Spent.", key="b")
    ledger.suspend(ledger.allocations("c")[0].id, actor="test", reason="Asked.", key="c")
    ledger.open_account("d", "explorer", 0, actor="test")
    ledger.grant(
        "d", 7, actor="test", reason="Later.", key="d", start=clock.now + timedelta(days=5), tier="researcher"
    )
    ledger.grant("a1", 9, actor="test", reason="More.", key="a1", tier="researcher")
    ledger.open_project("p", "team", pi="a1", actor="test")
    clock.turn(2 * 86400)
    return ledger


@pytest.mark.parametrize(
    ("state", "names"),
    [("active", ["a1", "a2"]), ("exhausted", ["b"]), ("suspended", ["c"]), ("approved", ["d"]),
     ("expired", ["e", "p"])],
)  # fmt: skip
def test_accounts_are_found_by_their_state_and_say_it(many: Ledger, state: AccountState, names: list[str]) -> None:
    page = many.directory(AccountQuery(state=state))
    assert [row.summary.account.name for row in page.rows] == names
    assert {row.state for row in page.rows} == {state}


def test_accounts_are_found_by_tier_kind_end_and_balance(many: Ledger, clock: Clock) -> None:
    soon = clock.now + timedelta(days=19)
    assert pages(many, AccountQuery(tier="researcher"), 2) == ["a1"]
    assert pages(many, AccountQuery(kind="project"), 2) == ["p"]
    assert pages(many, AccountQuery(ending_before=soon), 1) == ["a1", "a2"]
    assert pages(many, AccountQuery(ending_before=soon, search="2"), 1) == ["a2"]
    assert pages(many, AccountQuery(balance_below=8), 2) == ["b", "d", "p"]


@pytest.mark.parametrize(
    ("order", "names"),
    [("name", ["a1", "a2", "b", "c", "d", "e", "p"]), ("end", ["a1", "a2", "b", "c", "d", "e", "p"]),
     ("balance", ["b", "p", "d", "e", "a1", "a2", "c"])],
)  # fmt: skip
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_the_orders_page_without_gaps(many: Ledger, order: AccountOrder, names: list[str], limit: int) -> None:
    assert pages(many, AccountQuery(order=order), limit) == names


@pytest.mark.parametrize("after", ["nonsense", "1:2:3", "99999999999999999999:1"])
def test_a_page_that_goes_on_from_nowhere_is_turned_down(many: Ledger, after: str) -> None:
    for query in (AccountQuery(order="balance"), AccountQuery(order="end"), AccountQuery(search="a")):
        with pytest.raises(ValueError, match="does not go on from there"):
            many.directory(query, after=after)


def test_a_page_costs_as_many_statements_however_many_accounts_there_are(engine: Engine, ledger: Ledger) -> None:
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2]))

    def statements(query: AccountQuery) -> int:
        said.clear()
        assert len(ledger.directory(query, limit=20).rows) == 20
        return sum(not one.startswith(("BEGIN", "SET", "SHOW")) for one in said)

    counts = []
    for size in (40, 400):
        for number in range(size):
            ledger.open_account(f"user-{number:04}", "explorer", 5, actor="test", term_days=9)
        queries = (AccountQuery(), AccountQuery(search="ser-0"), AccountQuery(order="end", tier="explorer"))
        counts.append([statements(query) for query in queries])
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 8


# PostgreSQL's plans depend on what it has counted; the indexes are the same ones.
@pytest.mark.parametrize("new_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "query",
    [AccountQuery(), AccountQuery(search="a"), AccountQuery(search="a", tier="explorer", state="active"),
     AccountQuery(order="end"), AccountQuery(order="end", state="exhausted")],
    ids=["all", "search", "search with filters", "by end", "by end with a filter"],
)  # fmt: skip
def test_a_page_is_read_by_an_index_and_not_sorted(engine: Engine, ledger: Ledger, query: AccountQuery) -> None:
    for number in range(50):
        ledger.open_account(f"user-{number}", "explorer", 5, actor="test", term_days=9)
    plans: list[str] = []

    with reading(engine) as connection:
        statements: list[tuple[str, object]] = []
        event.listen(
            connection, "before_cursor_execute", lambda c, cur, text, given, *_: statements.append((text, given))
        )
        directory.page(connection, query, after=None, limit=10, now=0)
        for text, parameters in list(statements):
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)  # type: ignore[arg-type]
            plans += [row[3] for row in rows]
    assert plans
    assert [step for step in plans if "TEMP B-TREE" in step] == []
    assert [step for step in plans if step.startswith("SCAN") and "INDEX" not in step] == []
