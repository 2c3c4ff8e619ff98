"""Translate a query in ADQL into a statement of the database's, for one reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from romanhub.discovery.adql.expressions import Expressions
from romanhub.discovery.adql.parsing import AdqlError, parse
from romanhub.discovery.tables import Column, Entry


@dataclass(frozen=True)
class Translated:
    """A statement of the database's, and what its columns are."""

    sql: str
    #: The columns of the answer, in order. A column that is computed has its name alone.
    columns: tuple[Column, ...]
    #: The tables that are read.
    entries: tuple[Entry, ...] = field(default=())
    #: How many rows the query itself asks for at most.
    top: int | None = None


def translate(text: str, tables: Mapping[str, Entry], datasets: Iterable[str], *, most: int) -> Translated:
    """Return the statement for a query.

    Args:
        text: the query, in ADQL.
        tables: every table that its sender may read, by its full name in lower case.
        datasets: the data sets whose rows its sender may read.
        most: how many rows the statement gives at most.

    Raises:
        AdqlError: the query cannot be understood, or names what there is not or its sender may not read.
    """
    tree = parse(text)
    names = _output_names(tree)
    _lower(tree)
    used = _resolve(tree, tables)
    tree, scopes = _qualified(tree, used)
    columns = _columns(tree, scopes, used, names)
    sources = _mark(scopes, used)
    Expressions(sources).rewrite(tree)
    for scope in scopes:
        for table in list(scope.tables):
            entry = used.get(f"{table.db}.{table.name}")
            if entry is not None:
                _replace(table, entry, datasets)
    top = _number(tree.args.get("limit"))
    limited = tree.limit(most if top is None else min(top, most), copy=False)
    return Translated(limited.sql(dialect="duckdb"), columns, tuple(used.values()), top)


def _lower(tree: exp.Expr) -> None:
    # Names are the same in whatever case here, in quotation marks too.
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("this", str(identifier.this).lower())


def _resolve(tree: exp.Expr, tables: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the tables that the query reads, by full name; give each its schema in the tree."""
    named_here = {cte.alias for cte in tree.find_all(exp.CTE)}
    used = {}
    for table in tree.find_all(exp.Table):
        if not table.db and table.name in named_here:
            continue
        full = f"{table.db}.{table.name}"
        if not table.db:
            found = [name for name in tables if name.rpartition(".")[2] == table.name]
            full = found[0] if len(found) == 1 else table.name
        entry = tables.get(full)
        if entry is None:
            raise AdqlError(
                f"There is no table {full.strip('.')} that you may read. The table tap_schema.tables lists those "
                "that there are."
            )
        table.set("db", exp.to_identifier(entry.db.lower()))
        used[full] = entry
    return used


def _qualified(tree: exp.Query, used: Mapping[str, Entry]) -> tuple[exp.Query, list[Scope]]:
    schema: dict[str, object] = {}
    for entry in used.values():
        known = {column.name.lower(): column.kind for column in entry.columns}
        schema.setdefault(entry.db.lower(), {})[entry.name.lower()] = known  # type: ignore[index]
    try:
        found = qualify(tree, schema=schema or None, dialect=None, quote_identifiers=True)
        scopes = traverse_scope(found)
    except SqlglotError as error:
        raise AdqlError(f"{str(error).splitlines()[0].rstrip('.')}. Look at tap_schema.columns.") from None
    except RecursionError:
        raise AdqlError("The query is nested too deeply.") from None
    if not isinstance(found, exp.Query):
        raise AdqlError("A query has to begin with SELECT (or WITH).")
    return found, scopes


def _source(scope: Scope | None, alias: str) -> object:
    while scope is not None:
        if alias in scope.sources:
            return scope.sources[alias]
        scope = scope.parent
    return None


def _mark(scopes: list[Scope], used: Mapping[str, Entry]) -> dict[int, Entry]:
    """Return the table of the store that each column of the tree is of, by the column's identity."""
    marked: dict[int, Entry] = {}
    for scope in scopes:
        for column in scope.columns:
            source = _source(scope, column.table)
            if isinstance(source, exp.Table):
                entry = used.get(f"{source.db}.{source.name}")
                if entry is not None:
                    marked[id(column)] = entry
    return marked


def _replace(table: exp.Table, entry: Entry, datasets: Iterable[str]) -> None:
    """Have the query read, of a table, the rows that its sender may read."""
    stored = exp.to_identifier(entry.stored, quoted=True)
    rows = exp.select("*").from_(exp.Table(this=stored))
    if entry.dataset is None and entry.stored == "images":
        open_to = [exp.Literal.string(name) for name in sorted(datasets)]
        rows = rows.where(exp.column("dataset").isin(*open_to) if open_to else exp.false())
    alias = table.alias or table.name
    table.replace(exp.Subquery(this=rows, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))))


def _first(tree: exp.Expr) -> exp.Select:
    while not isinstance(tree, exp.Select):
        tree = tree.this
    return tree


def _output_names(tree: exp.Query) -> dict[str, str]:
    """Return the names of columns as the query spells them, by the same in lower case."""
    return {one.alias_or_name.lower(): one.alias_or_name for one in _first(tree).expressions if one.alias_or_name}


def _columns(
    tree: exp.Query, scopes: list[Scope], used: Mapping[str, Entry], names: Mapping[str, str]
) -> tuple[Column, ...]:
    by_tree = {id(scope.expression): scope for scope in scopes}
    first = _first(tree)
    found: list[Column] = []
    taken: set[str] = set()
    for one in first.expressions:
        inner = one.this if isinstance(one, exp.Alias) else one
        column = _origin(inner, by_tree.get(id(first)), used)
        alias = one.alias_or_name
        name = names.get(alias, column.name if column and column.name.lower() == alias else alias)
        number = 1
        unique = name
        while unique.lower() in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique.lower())
        found.append(column.model_copy(update={"name": unique}) if column else Column(name=unique, kind="text"))
    return tuple(found)


def _origin(node: exp.Expr, scope: Scope | None, used: Mapping[str, Entry]) -> Column | None:
    """Return the column of a table that an expression is, through queries within the query."""
    while isinstance(node, (exp.Alias, exp.Paren)):
        node = node.this
    if not isinstance(node, exp.Column) or scope is None:
        return None
    source = _source(scope, node.table)
    if isinstance(source, exp.Table):
        entry = used.get(f"{source.db}.{source.name}")
        return entry.column(node.name) if entry else None
    if isinstance(source, Scope):
        inner = _first(source.expression)
        holds = next((each for each in source.traverse() if each.expression is inner), None)
        for one in inner.expressions:
            if one.alias_or_name == node.name and holds is not None:
                return _origin(one, holds, used)
    return None


def _number(limit: exp.Expr | None) -> int | None:
    return None if limit is None else int(limit.expression.this)
