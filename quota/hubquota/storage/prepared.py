"""Statements on the way of every decision: compiled once, and handed straight to the database's driver.

A decision is a handful of statements that never change. SQLAlchemy spends several times as long on each of them
(its caches, contexts, events and results) as SQLite does. So here it writes the SQL, once for each kind of
database, and the driver runs it, in the transaction that SQLAlchemy opened. For everything else there is
`connection.execute`.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any, NoReturn

from sqlalchemy import Boolean, Column, Connection, Delete, Dialect, Insert, Integer, Select, Update, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import iterate

Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete


class among(FunctionElement[bool]):  # noqa: N801  (it reads as SQL does)
    """The condition that a column is one of a list, which is one parameter however long it is.

    So a statement with it is prepared once for any number of them. PostgreSQL is sent an array, SQLite a list as
    JSON; to SQLite a list of one, as of most decisions, is a plain comparison.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Column[Any], name: str) -> None:
        """Compare a column with the parameter of a name."""
        super().__init__(column, bindparam(name, type_=ARRAY(column.type)))
        self.name_of_list = name

    def self_group(self, against: Any = None) -> among:
        """Return itself: it is a condition already, and with "= 1" behind it no index would serve it."""
        return self


#: SQLite opens a table and its indexes anew for every statement, which costs as much as a row: so many are
#: inserted by one. PostgreSQL's driver sends them all together anyway.
_TOGETHER = 20

#: The option of a compilation in which each list has one value.
_ALONE = "hubquota_alone"


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(one, **options) for one in element.clauses)
    if options.get(_ALONE):
        return f"{column} = {values}"
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608  (both are SQLAlchemy's own)


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY ({values})"


class Prepared:
    """A statement with named parameters. Its values go in and come out as the driver has them."""

    def __init__(self, statement: Statement, *, columns: Sequence[str] | None = None) -> None:
        """Prepare a statement.

        Args:
            statement: every value that changes is a `bindparam`, with a name of its own. A list is one of
                `among`.
            columns: what an insert is given.
        """
        self._statement = statement
        self._columns = columns
        self._lists: list[str] | None = None
        self._written: dict[tuple[str, bool], _Written] = {}

    def all(self, connection: Connection, **parameters: Any) -> list[Any]:
        """Return every row, as a tuple with names."""
        written = self._get(connection, parameters)
        cursor = send(connection, written.text, written.fill(parameters))
        return [written.row(cursor)(found) for found in cursor.fetchall()]

    def tuples(self, connection: Connection, **parameters: Any) -> Iterable[tuple[Any, ...]]:
        """Return every row as the driver has it: for statements of many rows, where names cost too much.

        They come as they are asked for: ask for all of them, and SQLite lets go of the statement.
        """
        written = self._get(connection, parameters)
        rows: Iterable[tuple[Any, ...]] = send(connection, written.text, written.fill(parameters))
        return rows

    def first(self, connection: Connection, **parameters: Any) -> Any:
        """Return the first row, or None."""
        written = self._get(connection, parameters)
        cursor = send(connection, written.text, written.fill(parameters))
        # All of them: SQLite keeps its lock for a statement that has not come to its end.
        found = cursor.fetchall()
        return written.row(cursor)(found[0]) if found else None

    def run(self, connection: Connection, **parameters: Any) -> int:
        """Change what it changes; return how many rows."""
        written = self._get(connection, parameters)
        count: int = send(connection, written.text, written.fill(parameters)).rowcount
        return count

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Change what it changes, once with the parameters of each row."""
        if rows:
            written = self._get(connection, {})
            send_many(connection, written.text, [written.fill(row) for row in rows])

    def add(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, each with the values of `columns` in their order."""
        if not rows:
            return
        written = self._get(connection, {})
        values = written.in_columns(self._columns, rows)
        if written.together is not None:
            whole = len(values) - len(values) % _TOGETHER
            for start in range(0, whole, _TOGETHER):
                send(connection, written.together, list(chain.from_iterable(values[start : start + _TOGETHER])))
            values = values[whole:]
        if values:
            send_many(connection, written.text, values)

    def add_returning(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        """As `add`; return the row that each returns, in their order.

        Only on PostgreSQL, whose driver sends them together.
        """
        written = self._get(connection, {})
        cursor = send_many(connection, written.text, written.in_columns(self._columns, rows), returning=True)
        found: list[Any] = []
        for _ in rows:
            found.append(written.row(cursor)(cursor.fetchone()))
            cursor.nextset()
        return found

    def _get(self, connection: Connection, parameters: Mapping[str, Any]) -> _Written:
        if self._lists is None:
            self._lists = [one.name_of_list for one in iterate(self._statement) if isinstance(one, among)]
        alone = bool(self._lists) and all(len(parameters[name]) == 1 for name in self._lists)
        dialect = connection.dialect
        found = self._written.get((dialect.name, alone))
        if found is None:
            # Two threads may both do it, and come to the same.
            found = _Written(self._statement, self._columns, dialect, alone=alone)
            self._written[dialect.name, alone] = found
        return found


class _Written:
    """A statement in one kind of database's SQL."""

    def __init__(
        self, statement: Statement, columns: Sequence[str] | None, dialect: Dialect, *, alone: bool
    ) -> None:
        for column in getattr(statement, "selected_columns", ()):
            if column.type.dialect_impl(dialect).result_processor(dialect, None) is not None:
                raise TypeError(f"{column} has to be converted, which a prepared statement does not do.")
        options = {_ALONE: True} if alone else {}
        compiled = statement.compile(dialect=dialect, column_keys=columns, compile_kwargs=options)
        self.text = str(compiled)
        self._fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        self._order: list[str] | None = list(compiled.positiontup or ()) if compiled.positional else None
        self._pick = itemgetter(*self._order) if self._order and len(self._order) > 1 else None
        #: Inserts as many rows as `_TOGETHER` says, whose values are given one after the other.
        self.together: str | None = None
        if isinstance(statement, Insert) and dialect.name == "sqlite" and columns and self._order == list(columns):
            one = f"({', '.join('?' * len(columns))})"
            if self.text.endswith(f"VALUES {one}") and not self._fixed:
                self.together = self.text + f", {one}" * (_TOGETHER - 1)
        #: How the lists are written; none is where the driver takes lists as they are.
        self._lists: dict[str, Callable[[Sequence[Any]], Any]] = {}
        if dialect.name == "sqlite":
            for name, bind in compiled.binds.items():
                if isinstance(bind.type, ARRAY):
                    numbers = isinstance(bind.type.item_type, Integer)
                    self._lists[name] = itemgetter(0) if alone else (_json_numbers if numbers else _json_texts)
        self._row: Callable[[Iterable[Any]], Any] | None = None

    def fill(self, parameters: Mapping[str, Any]) -> Any:
        """Return the driver's parameters."""
        values = {**self._fixed, **parameters} if self._fixed or self._lists else parameters
        for name, write in self._lists.items():
            values[name] = write(values[name])  # type: ignore[index]
        if self._pick is not None:
            return self._pick(values)
        return values if self._order is None else [values[name] for name in self._order]

    def in_columns(self, columns: Sequence[str] | None, rows: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        """Return the driver's parameters for rows that have their values in the order of columns."""
        names = list(columns or ())
        if self._order == names and not self._fixed:
            return rows
        return [self.fill(dict(zip(names, row, strict=True))) for row in rows]

    def row(self, cursor: Any) -> Callable[[Iterable[Any]], Any]:
        """Return what makes a row with names of the driver's row."""
        if self._row is None:
            # Its names are known only when the database has answered.
            names = [str(column[0]) for column in cursor.description]
            row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
            self._row = row._make
        return self._row


def _json_numbers(values: Iterable[Any]) -> str:
    return f"[{','.join(map(str, values))}]"


def _json_texts(values: Iterable[Any]) -> str:
    return f"[{','.join(map(encode_basestring_ascii, values))}]"


def send(connection: Connection, text: str, parameters: Any = ()) -> Any:
    """Have the driver run a statement on a connection; return its cursor.

    Raises:
        DBAPIError: what SQLAlchemy itself raises for the driver's error.
    """
    driver: Any = connection.connection.dbapi_connection
    try:
        return driver.execute(text, parameters)
    except connection.dialect.loaded_dbapi.Error as error:
        _fail(connection, text, error)


def send_many(connection: Connection, text: str, rows: Sequence[Any], *, returning: bool = False) -> Any:
    """Have the driver run a statement once for each row of parameters; return its cursor.

    Args:
        connection: the transaction's.
        text: the statement.
        rows: the parameters of each.
        returning: whether what each returns is wanted, which only PostgreSQL's driver can do.

    Raises:
        DBAPIError: what SQLAlchemy itself raises for the driver's error.
    """
    cursor = connection.connection.dbapi_connection.cursor()  # type: ignore[union-attr]
    more: dict[str, Any] = {"returning": True} if returning else {}
    try:
        cursor.executemany(text, rows, **more)
    except connection.dialect.loaded_dbapi.Error as error:
        _fail(connection, text, error)
    return cursor


def _fail(connection: Connection, text: str, error: Exception) -> NoReturn:
    dialect = connection.dialect
    lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
    if lost:
        connection.invalidate(error)
    raise DBAPIError.instance(
        text,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    ) from error
