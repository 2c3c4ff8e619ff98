"""Read ADQL into a tree, and turn down every tree that has in it what is not on the list.

The list says which nodes a tree may have and which parts of each, so that what a later version of the parser may
come to understand is turned down until somebody adds it here.
"""

from __future__ import annotations

import re
from typing import ClassVar

from sqlglot import exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

#: No query is longer, in characters.
LONGEST = 200_000


class AdqlError(Exception):
    """The query is not ADQL that this service can answer; the message says what is wrong with it."""


class Adql(Dialect):
    """ADQL 2.1, as far as it is SQL: geometry and mathematics stay functions without a meaning here."""

    class Tokenizer(tokens.Tokenizer):
        """SQL's words, and TOP."""

        KEYWORDS: ClassVar = {**tokens.Tokenizer.KEYWORDS, "TOP": TokenType.TOP}

    class Parser(parser.Parser):
        """Functions but a few are kept by their names."""

        FUNCTIONS: ClassVar = {
            name: parser.Parser.FUNCTIONS[name] for name in ("COUNT", "SUM", "AVG", "MIN", "MAX", "COALESCE")
        }
        FUNCTION_PARSERS: ClassVar = {"CAST": parser.Parser.FUNCTION_PARSERS["CAST"]}
        NO_PAREN_FUNCTIONS: ClassVar = {}


#: What a name may be made of, in quotation marks or without: nothing that ends a name in the database's SQL.
_NAME = re.compile(r"[\w .+*/()-]{1,128}")

_BINARY = ("this", "expression")
#: What a tree may consist of: kinds of nodes, and their parts.
ALLOWED: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Select: (
        *("with_", "expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset"),
        "distinct",
    ),
    exp.With: ("expressions",),
    exp.CTE: ("this", "alias"),
    exp.From: ("this",),
    exp.Join: ("this", "on", "using", "side", "kind"),
    exp.Where: ("this",),
    exp.Group: ("expressions",),
    exp.Having: ("this",),
    exp.Order: ("expressions",),
    exp.Ordered: ("this", "desc", "nulls_first"),
    exp.Limit: ("expression",),
    exp.Offset: ("expression",),
    exp.Distinct: ("expressions",),
    exp.Union: ("with_", "this", "expression", "distinct", "order", "limit", "offset"),
    exp.Intersect: ("with_", "this", "expression", "distinct", "order", "limit", "offset"),
    exp.Except: ("with_", "this", "expression", "distinct", "order", "limit", "offset"),
    exp.Table: ("this", "db", "alias"),
    exp.TableAlias: ("this", "columns"),
    exp.Subquery: ("this", "alias"),
    exp.Alias: ("this", "alias"),
    exp.Column: ("this", "table", "db"),
    exp.Identifier: ("this", "quoted"),
    exp.Star: (),
    exp.Literal: ("this", "is_string"),
    exp.Null: (),
    exp.Boolean: ("this",),
    exp.Paren: ("this",),
    exp.Tuple: ("expressions",),
    exp.Not: ("this",),
    exp.Neg: ("this",),
    exp.Between: ("this", "low", "high"),
    exp.In: ("this", "expressions", "query"),
    exp.Exists: ("this",),
    exp.Escape: _BINARY,
    exp.Case: ("this", "ifs", "default"),
    exp.If: ("this", "true"),
    exp.Cast: ("this", "to"),
    exp.DataType: ("this", "expressions"),
    exp.DataTypeParam: ("this",),
    exp.Anonymous: ("this", "expressions"),
    exp.Count: ("this", "expressions", "big_int"),
    exp.Coalesce: ("this", "expressions"),
    **dict.fromkeys((exp.Sum, exp.Avg, exp.Min, exp.Max), ("this",)),
    **dict.fromkeys(
        (
            *(
                exp.And,
                exp.Or,
                exp.EQ,
                exp.NEQ,
                exp.GT,
                exp.GTE,
                exp.LT,
                exp.LTE,
                exp.Add,
                exp.Sub,
                exp.Mul,
                exp.Div,
            ),
            *(exp.Like, exp.ILike, exp.Is),
        ),
        _BINARY,
    ),
    exp.DPipe: ("this", "expression", "safe"),
}
ALLOWED[exp.Div] = ("this", "expression", "typed", "safe")

_TYPES = {
    *(exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.FLOAT, exp.DType.DOUBLE),
    *(exp.DType.CHAR, exp.DType.VARCHAR, exp.DType.TIMESTAMP),
}
_JOINS = {"", "INNER", "OUTER", "CROSS", "LEFT", "RIGHT", "FULL"}


def parse(text: str) -> exp.Query:
    """Return the tree of one query. Raises AdqlError."""
    if len(text) > LONGEST:
        raise AdqlError(f"The query has {len(text):,} characters; no more than {LONGEST:,} are read.")
    try:
        statements = [one for one in Adql().parse(text) if one is not None]
    except SqlglotError as error:
        raise AdqlError(_explain(error)) from None
    except RecursionError:
        raise AdqlError("The query has more parentheses or queries within each other than can be read.") from None
    if len(statements) != 1:
        raise AdqlError("A query has to be one statement.")
    [tree] = statements
    while isinstance(tree, exp.Subquery) and tree.alias == "":
        tree = tree.this
    if not isinstance(tree, exp.Query) or isinstance(tree, (exp.Table, exp.Subquery)):
        raise AdqlError("A query has to begin with SELECT (or WITH): nothing here can be changed.")
    _check(tree)
    return tree


def _check(tree: exp.Expr) -> None:
    try:
        nodes = list(tree.walk())
    except RecursionError:
        raise AdqlError("The query is nested too deeply.") from None
    for node in nodes:
        parts = ALLOWED.get(type(node))
        if parts is None:
            raise AdqlError(f"`{_word(node)}` is not part of the ADQL that this service understands.")
        for name, value in node.args.items():
            if value and name not in parts:
                raise AdqlError(f"`{name.strip('_').upper()}` cannot be used with {_word(node)} here.")
        if isinstance(node, exp.Identifier) and not _NAME.fullmatch(str(node.this)):
            raise AdqlError("A name in quotation marks may have letters, digits, spaces and underscores in it.")
        if isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
            raise AdqlError("A table has to be named: functions cannot stand for tables.")
        if isinstance(node, exp.Join) and not {node.side.upper(), node.kind.upper()} <= _JOINS:
            raise AdqlError(f"There is no join of the kind {node.side} {node.kind} here.")
        if isinstance(node, exp.DataType) and node.this not in _TYPES:
            raise AdqlError(f"Nothing can be cast to {node.sql()} here.")
        if isinstance(node, (exp.Limit, exp.Offset)) and not node.expression.is_int:
            raise AdqlError("TOP and OFFSET take a whole number.")


def _word(node: exp.Expr) -> str:
    return type(node).__name__.upper()


def _explain(error: SqlglotError) -> str:
    found = getattr(error, "errors", None)
    if found:
        first = found[0]
        return (
            f"Line {first.get('line')}, column {first.get('col')}: {first.get('description', '').rstrip('.')}, "
            f"near `{first.get('highlight', '')}`."
        )
    return f"The query cannot be read: {str(error).splitlines()[0]}"
