"""Statements that are handed straight to the driver behave as those that SQLAlchemy runs, on both databases."""

from __future__ import annotations

import threading

import pytest
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import decision, reading
from hubquota.storage.prepared import Prepared
from hubquota.storage.tables import account, allocation
from sqlalchemy import Engine, bindparam, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

_names = Prepared(
    select(account.c.id, account.c.name).where(account.c.id > bindparam("after")).order_by(account.c.id)
)
_add = Prepared(insert(account).returning(account.c.id), columns=("name", "kind", "tier", "balance", "created_at"))
_rename = Prepared(update(account).where(account.c.name == bindparam("old")).values(name=bindparam("new")))


def add(engine: Engine, name: str) -> int:
    with decision(engine) as connection:
        return int(_add.first(connection, name=name, kind="user", tier="explorer", balance=0, created_at=0).id)


def test_rows_come_with_names_and_changes_are_counted(engine: Engine) -> None:
    first = add(engine, 'it\'s 100% "ada" \\ :name ?')
    add(engine, "bob")
    with decision(engine) as connection:
        assert _rename.run(connection, old="bob", new="eve") == 1
        assert _rename.run(connection, old="bob", new="eve") == 0
    with reading(engine) as connection:
        rows = _names.all(connection, after=0)
        assert [row.name for row in rows] == ['it\'s 100% "ada" \\ :name ?', "eve"]
        assert (rows[0].id, _names.first(connection, after=0)) == (first, rows[0])
        assert _names.first(connection, after=rows[-1].id) is None


def test_a_value_without_a_name_stays_as_it_was_written(engine: Engine) -> None:
    add(engine, "ada")
    counted = Prepared(
        select(func.count().label("number")).where(account.c.kind == "user", account.c.name != "bob")
    )
    with reading(engine) as connection:
        assert counted.first(connection).number == 1


def test_what_the_driver_complains_of_is_told_as_by_sqlalchemy_and_undone(engine: Engine) -> None:
    add(engine, "ada")
    with pytest.raises(IntegrityError):
        add(engine, "ada")
    with reading(engine) as connection:
        assert len(_names.all(connection, after=0)) == 1


def test_a_parameter_that_is_forgotten_is_an_error(engine: Engine) -> None:
    # SQLite has parameters by their places, and PostgreSQL's driver looks for the names itself.
    with pytest.raises((KeyError, ProgrammingError)), reading(engine) as connection:
        _names.all(connection)


@pytest.mark.parametrize("new_url", ["sqlite"], indirect=True)
def test_a_column_that_would_have_to_be_converted_is_turned_down(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises(TypeError, match="renewable"):
        Prepared(select(allocation.c.renewable)).all(connection)


@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
def test_a_connection_that_was_lost_is_not_used_again(engine: Engine, ledger: Ledger) -> None:
    add(engine, "ada")
    with pytest.raises(OperationalError) as caught, decision(engine) as connection:
        own = connection.scalar(text("SELECT pg_backend_pid()"))
        with engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:own)"), {"own": own})
        _names.all(connection, after=0)
    assert caught.value.connection_invalidated
    assert ledger.balance("ada").available == 0


@pytest.mark.parametrize("new_url", ["sqlite"], indirect=True)
def test_threads_on_one_engine_take_turns(engine: Engine) -> None:
    """While one decides, another waits, and goes on as soon as the first has finished."""
    order: list[str] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with decision(engine):
            order.append("second")

    with decision(engine):
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("number", [1, 19, 20, 45])
def test_however_many_rows_are_added_each_is_there_in_its_place(engine: Engine, number: int) -> None:
    adding = Prepared(insert(account), columns=("id", "name", "kind", "tier", "balance", "created_at"))
    rows = [(one, f"user-{one}", "user", "explorer", 0, one) for one in range(1, number + 1)]
    with decision(engine) as connection:
        adding.add(connection, rows)
    with reading(engine) as connection:
        assert [tuple(row) for row in _names.all(connection, after=0)] == [row[:2] for row in rows]


def test_of_many_rows_that_are_added_one_that_cannot_be_is_told_and_none_is_there(engine: Engine) -> None:
    adding = Prepared(insert(account), columns=("name", "kind", "tier", "balance", "created_at"))
    rows = [(f"user-{one % 30}", "user", "explorer", 0, 0) for one in range(31)]
    with pytest.raises(IntegrityError), decision(engine) as connection:
        adding.add(connection, rows)
    with reading(engine) as connection:
        assert _names.all(connection, after=0) == []
