"""What a TAP request asks for."""

from __future__ import annotations

from dataclasses import dataclass

from romanhub.discovery import uploads
from romanhub.discovery.formats import Format, format_named
from romanhub.discovery.params import Params, UsageError
from romanhub.discovery.search import Query
from romanhub.discovery.settings import QuerySettings

#: The names and versions of the language that LANG may ask for.
LANGUAGES = ("ADQL", "ADQL-2.0", "ADQL-2.1")


@dataclass(frozen=True)
class TapRequest:
    """A query and the form of its answer."""

    query: Query
    form: Format


def understand(params: Params, limits: QuerySettings, *, seconds: float) -> TapRequest:
    """Return what is asked for. Raises UsageError."""
    asked = params.one("REQUEST")
    if asked is not None and asked != "doQuery":
        raise UsageError(f"REQUEST can be doQuery only; it was {asked!r}.")
    # The standard wants it sent; clients that know one language leave it out, STILTS among them.
    language = params.one("LANG") or LANGUAGES[0]
    if language.upper() not in LANGUAGES:
        raise UsageError(f"LANG can be {' or '.join(LANGUAGES)}; it was {language!r}.")
    text = params.one("QUERY")
    if text is None:
        raise UsageError("QUERY is missing: the query itself, in ADQL.")
    named = params.one("RESPONSEFORMAT") or params.one("FORMAT")
    form = format_named(named)
    if form is None:
        raise UsageError(f"RESPONSEFORMAT can be votable, votable/td, csv, parquet or json; it was {named!r}.")
    tables = uploads.read(params, most_rows=limits.upload_rows)
    return TapRequest(Query(text, rows_asked(params, limits), seconds, tables), form)


def rows_asked(params: Params, limits: QuerySettings) -> int:
    """Return how many rows an answer may have, from MAXREC. Raises UsageError."""
    asked = params.whole("MAXREC")
    return min(limits.default_rows if asked is None else asked, limits.most_rows)
