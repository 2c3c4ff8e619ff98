"""ADQL's shapes, from the nodes of a query's tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from romanhub.discovery import geometry
from romanhub.discovery.adql.parsing import AdqlError
from romanhub.discovery.tables import SHAPE, Entry

#: Turns a number in ADQL into the database's text.
Text = Callable[[exp.Expr], str]
#: The table of the store that a column is of, if it is of one.
EntryOf = Callable[[exp.Column], Entry | None]

_SYSTEMS = {"", "ICRS", "UNKNOWNFRAME", "FK5"}


@dataclass(frozen=True)
class Shape:
    """A shape whose numbers are known, or are columns."""

    #: Each number as the database's text; for a column of footprints, none.
    texts: tuple[str, ...]
    #: The numbers where all are known.
    numbers: tuple[float, ...] | None = None
    #: The table whose positions (a point) or footprints these are, and its alias in the query.
    entry: Entry | None = None
    alias: str = ""
    #: Point, circle, polygon or region.
    kind: str = "point"

    @property
    def sql(self) -> str:
        """The shape as the store's list of numbers."""
        if self.kind == "region":
            return f'"{self.alias}"."{SHAPE}"'
        return "[" + ", ".join(f"({text})::DOUBLE" for text in self.texts) + "]"


def shape_of(node: exp.Expr, text: Text, entry_of: EntryOf) -> Shape:
    """Return the shape that a node is. Raises AdqlError where it is none."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        entry = entry_of(node)
        if entry is None or entry.region is None or node.name.lower() != entry.region:
            raise AdqlError(
                f"`{node.name}` is not a column of shapes. Use s_region of a table itself, not of a query within "
                "the query."
            )
        return Shape((), entry=entry, alias=node.table, kind="region")
    if not isinstance(node, exp.Anonymous):
        raise AdqlError(f"`{node.sql()}` is no shape; shapes are POINT, CIRCLE, BOX, POLYGON and s_region.")
    name, given = str(node.this).upper(), list(node.expressions)
    if name == "REGION":
        return _known(region(_string(given)))
    if given and isinstance(given[0], exp.Literal) and given[0].is_string:
        system = str(given.pop(0).this).strip().upper().split(" ")[0]
        if system not in _SYSTEMS:
            raise AdqlError(f"Positions are in ICRS here; the coordinate system '{system}' is not known.")
    if name in ("CIRCLE", "BOX", "POLYGON"):
        given = _unfold(given)
    expected = {"POINT": 2, "CIRCLE": 3, "BOX": 4}
    if name not in expected and name != "POLYGON":
        raise AdqlError(f"There is no shape {name}; shapes are POINT, CIRCLE, BOX, POLYGON and s_region.")
    if len(given) != expected.get(name, len(given)):
        raise AdqlError(f"{name} takes {expected[name]} numbers, and was given {len(given)}.")
    numbers = [number(one) for one in given]
    known = tuple(one for one in numbers if one is not None)
    if len(known) == len(given):
        try:
            return _known(geometry.box(*known) if name == "BOX" else known)
        except geometry.ShapeError as error:
            raise AdqlError(str(error)) from None
    if name == "BOX":
        raise AdqlError("BOX takes numbers, not columns. Use CIRCLE or POLYGON.")
    if name == "POLYGON" and (len(given) < 6 or len(given) % 2):
        raise AdqlError("A POLYGON needs three corners or more, each with a right ascension and a declination.")
    shape = Shape(tuple(text(one) for one in given), kind=name.lower())
    return _of_table(shape, given, entry_of) if name == "POINT" else shape


def _of_table(shape: Shape, given: Sequence[exp.Expr], entry_of: EntryOf) -> Shape:
    """Return the point with the table whose positions it is, where it is."""
    ra, dec = given
    if isinstance(ra, exp.Column) and isinstance(dec, exp.Column) and ra.table == dec.table:
        entry = entry_of(ra)
        if (
            entry is not None
            and entry.ra is not None
            and entry.dec is not None
            and ra.name.lower() == entry.ra.lower()
            and dec.name.lower() == entry.dec.lower()
        ):
            return Shape(shape.texts, entry=entry, alias=ra.table)
    return shape


def _known(numbers: tuple[float, ...]) -> Shape:
    try:
        geometry.check(numbers)
    except geometry.ShapeError as error:
        raise AdqlError(str(error)) from None
    kind = {2: "point", 3: "circle"}.get(len(numbers), "polygon")
    return Shape(tuple(repr(one) for one in numbers), numbers, kind=kind)


def _unfold(given: list[exp.Expr]) -> list[exp.Expr]:
    """Return the numbers of points in their stead: ADQL 2.1 takes CIRCLE(POINT(ra, dec), radius)."""
    found: list[exp.Expr] = []
    for one in given:
        if isinstance(one, exp.Anonymous) and str(one.this).upper() == "POINT":
            found += one.expressions[-2:]
        else:
            found.append(one)
    return found


def number(node: exp.Expr) -> float | None:
    """Return what an expression comes to, if it is made of numbers alone."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return float(node.this)
    if isinstance(node, exp.Paren):
        return number(node.this)
    if isinstance(node, exp.Neg):
        inner = number(node.this)
        return None if inner is None else -inner
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div)):
        left, right = number(node.this), number(node.expression)
        if left is None or right is None or (isinstance(node, exp.Div) and right == 0):
            return None
        if isinstance(node, exp.Add):
            return left + right
        if isinstance(node, exp.Sub):
            return left - right
        return left * right if isinstance(node, exp.Mul) else left / right
    return None


def _string(given: Sequence[exp.Expr]) -> str:
    if len(given) != 1 or not isinstance(given[0], exp.Literal) or not given[0].is_string:
        raise AdqlError("REGION takes one text, such as 'CIRCLE ICRS 10 20 0.5'.")
    return str(given[0].this)


def region(text: str) -> tuple[float, ...]:
    """Return the numbers of a shape in STC-S: POSITION, CIRCLE, BOX or POLYGON. Raises AdqlError."""
    words = text.replace(",", " ").split()
    name = words[0].upper() if words else ""
    values = words[1:]
    while values and not values[0].lstrip("+-").replace(".", "", 1).replace("e-", "").replace("e", "").isdigit():
        if values.pop(0).upper() not in _SYSTEMS | {"BARYCENTER", "TOPOCENTER", "SPHERICAL2"}:
            raise AdqlError(f"'{text[:80]}' is not a region in ICRS that this service understands.")
    try:
        numbers = tuple(float(value) for value in values)
        if name == "BOX" and len(numbers) == 4:
            return geometry.box(*numbers)
    except (ValueError, geometry.ShapeError) as error:
        raise AdqlError(f"'{text[:80]}' is not a region: {error}") from None
    if {"POSITION": 2, "CIRCLE": 3}.get(name, len(numbers)) != len(numbers) or name not in (
        *("POSITION", "CIRCLE", "POLYGON"),
    ):
        raise AdqlError(f"'{text[:80]}' is not a region that this service understands.")
    return numbers
