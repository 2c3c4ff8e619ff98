"""Rewrite the expressions of a query: ADQL's functions as the database's, and what is asked of the sky."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from romanhub.discovery.adql import predicates
from romanhub.discovery.adql.parsing import AdqlError
from romanhub.discovery.adql.shapes import Shape, number, shape_of
from romanhub.discovery.tables import Entry

#: ADQL's functions of numbers and texts: the database's name, and how many arguments each takes.
_PLAIN: dict[str, tuple[str, tuple[int, ...]]] = {
    "ABS": ("abs", (1,)),
    "CEILING": ("ceil", (1,)),
    "DEGREES": ("degrees", (1,)),
    "EXP": ("exp", (1,)),
    "FLOOR": ("floor", (1,)),
    # The natural logarithm, as ADQL has it; the database's own log is to base 10.
    "LOG": ("ln", (1,)),
    "LOG10": ("log10", (1,)),
    "MOD": ("mod", (2,)),
    "PI": ("pi", (0,)),
    "POWER": ("power", (2,)),
    "RADIANS": ("radians", (1,)),
    "RAND": ("random", (0,)),
    "ROUND": ("round", (1, 2)),
    "SIGN": ("sign", (1,)),
    "SQRT": ("sqrt", (1,)),
    "TRUNCATE": ("trunc", (1, 2)),
    "ACOS": ("acos", (1,)),
    "ASIN": ("asin", (1,)),
    "ATAN": ("atan", (1,)),
    "ATAN2": ("atan2", (2,)),
    "COS": ("cos", (1,)),
    "COT": ("cot", (1,)),
    "SIN": ("sin", (1,)),
    "TAN": ("tan", (1,)),
    "LOWER": ("lower", (1,)),
    "UPPER": ("upper", (1,)),
    "LENGTH": ("length", (1,)),
}
FUNCTIONS = tuple(sorted(_PLAIN))
GEOMETRY = (
    *(
        "AREA",
        "BOX",
        "CIRCLE",
        "CONTAINS",
        "COORD1",
        "COORD2",
        "DISTANCE",
        "INTERSECTS",
        "POINT",
        "POLYGON",
        "REGION",
    ),
)
_SHAPES = ("BOX", "CIRCLE", "POINT", "POLYGON", "REGION")
_NEARER: dict[type[exp.Expr], bool] = {exp.LT: True, exp.LTE: False}
#: What a comparison is with its sides exchanged.
_TURNED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}


class Expressions:
    """Rewrites a tree in place.

    What it puts in is text that it has made itself, of numbers, of names from the table's descriptions, and of
    what sqlglot has written from nodes that were checked.
    """

    def __init__(self, entries: Mapping[int, Entry]) -> None:
        """Take the tables that columns are of, by the identity of their nodes."""
        self._entries = entries

    def rewrite(self, node: exp.Expr) -> None:
        """Rewrite everything within a node."""
        for name, value in list(node.args.items()):
            if isinstance(value, exp.Expr):
                node.set(name, self._new(value))
            elif isinstance(value, list):
                node.set(name, [self._new(one) if isinstance(one, exp.Expr) else one for one in value])

    def _new(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)):
            condition = self._condition(node)
            if condition is not None:
                return exp.Var(this=condition)
        if isinstance(node, exp.Anonymous):
            return self._function(node)
        if isinstance(node, exp.Column):
            return self._column(node)
        self.rewrite(node)
        return node

    def _column(self, node: exp.Column) -> exp.Column:
        entry = self._entries.get(id(node))
        column = entry.column(node.name) if entry else None
        if column is None:
            return node
        return exp.column(column.stored, table=node.table, quoted=True)

    def _text(self, node: exp.Expr) -> str:
        return self._new(node).sql(dialect="duckdb")

    def _shape(self, node: exp.Expr) -> Shape:
        return shape_of(node, self._text, lambda column: self._entries.get(id(column)))

    def _condition(self, node: exp.Expr) -> str | None:
        """Return a comparison that asks something of the sky as a condition; None for any other."""
        left, right = node.this, node.expression
        kind: type[exp.Expr] = type(node)
        if _is(right, "CONTAINS", "INTERSECTS", "DISTANCE"):
            left, right = right, left
            kind = _TURNED.get(kind, kind)
        if _is(left, "CONTAINS", "INTERSECTS") and kind in (exp.EQ, exp.NEQ):
            wanted = number(right)
            if wanted not in (0, 1):
                raise AdqlError(
                    f"{left.this.upper()} is 1 where it holds and 0 where it does not; compare it with those."
                )
            condition = self._predicate(left)
            return condition if (wanted == 1) is (kind is exp.EQ) else f"(NOT {condition})"
        if _is(left, "DISTANCE") and kind in _NEARER:
            a, b = self._points(left)
            return predicates.near(a, b, self._text(right), number(right), strictly=_NEARER[kind])
        return None

    def _predicate(self, node: exp.Expr) -> str:
        given = node.expressions
        if len(given) != 2:
            raise AdqlError(f"{node.this.upper()} takes two shapes.")
        a, b = self._shape(given[0]), self._shape(given[1])
        return predicates.contains(a, b) if node.this.upper() == "CONTAINS" else predicates.intersects(a, b)

    def _points(self, node: exp.Expr) -> tuple[Shape, Shape]:
        given = list(node.expressions)
        if len(given) == 4:
            pairs = [
                exp.Anonymous(this="POINT", expressions=given[:2]),
                exp.Anonymous(this="POINT", expressions=given[2:]),
            ]
        else:
            pairs = given
        if len(pairs) != 2:
            raise AdqlError("DISTANCE takes two points, or four numbers.")
        a, b = (self._shape(one) for one in pairs)
        if a.kind != "point" or b.kind != "point":
            raise AdqlError("DISTANCE is between points; for others, INTERSECTS with a CIRCLE.")
        return a, b

    def _function(self, node: exp.Anonymous) -> exp.Expr:
        name = str(node.this).upper()
        given: Sequence[exp.Expr] = node.expressions
        if name in ("CONTAINS", "INTERSECTS"):
            return exp.Var(this=f"(CASE WHEN {self._predicate(node)} THEN 1 ELSE 0 END)")
        if name == "DISTANCE":
            return exp.Var(this=predicates.distance(*self._points(node)))
        if name in ("COORD1", "COORD2", "AREA"):
            if len(given) != 1:
                raise AdqlError(f"{name} takes one shape.")
            shape = self._shape(given[0])
            if name == "AREA":
                return exp.Var(this=f"sky_area({shape.sql})")
            if shape.kind != "point":
                raise AdqlError(f"{name} takes a point.")
            return exp.Var(this=f"({shape.texts[0 if name == 'COORD1' else 1]})")
        if name in _SHAPES:
            return exp.Var(this=self._shape(node).sql)
        if name not in _PLAIN:
            raise AdqlError(
                f"There is no function {name} here. There are {', '.join((*FUNCTIONS, *GEOMETRY))}, COUNT, SUM, "
                "AVG, MIN, MAX, COALESCE and CAST."
            )
        function, counts = _PLAIN[name]
        if name == "RAND" and len(given) == 1:
            given = ()
        if len(given) not in counts:
            raise AdqlError(f"{name} takes {' or '.join(map(str, counts))} arguments, and was given {len(given)}.")
        return exp.Anonymous(this=function, expressions=[self._new(one) for one in given])


def _is(node: exp.Expr, *names: str) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).upper() in names
