"""Searching the catalogue: by text, with SQLite's FTS5 or PostgreSQL's tsvector, and by facets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from hubquota.storage.times import moment
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal_column,
    or_,
    select,
    text,
)

from romanhub.community.storage.tables import entry, entry_text, facet, version
from romanhub.models.community import Kind, State
from romanhub.models.entries import Card, Count, Facets, Order, Proof

#: So many values of a facet are told, and so many words are looked for.
MOST_VALUES, MOST_WORDS = 40, 20

#: What is found where nobody asks for a state: what an author gave up is found by those who ask for it.
SHOWN = (State.PUBLIC, State.REVIEWED)

#: What can be asked for at all. A tombstone has a page, and is not found.
FINDABLE = (*SHOWN, State.DEPRECATED)

#: How much a word counts in a title, in names and tags, in an abstract, and in the notebook itself.
_WEIGHTS = (10.0, 6.0, 4.0, 1.0)


@dataclass(frozen=True)
class Wanted:
    """What a search asks for."""

    words: str = ""
    tags: Collection[str] = ()
    datasets: Collection[str] = ()
    images: Collection[str] = ()
    kinds: Collection[Kind] = ()
    states: Collection[State] = ()
    proofs: Collection[Proof] = ()


def searchable(given: str) -> str:
    """Return a text as both databases take it apart in the same way: words alone, `np.mean` as two, `é` as `e`."""
    return " ".join(_tokens(given))


def _tokens(given: str) -> list[str]:
    plain = "".join(one for one in unicodedata.normalize("NFKD", given) if not unicodedata.combining(one))
    return re.findall(r"[^\W_]+", plain.lower())


def search(connection: Connection, wanted: Wanted, order: Order, *, offset: int, limit: int) -> list[Card]:
    """Return a page of the cards that were found, in an order."""
    found = select(entry, version.c.sidecar, version.c.details, version.c.published_at).join(
        version, and_(version.c.entry_id == entry.c.id, version.c.number == entry.c.newest)
    )
    found = found.where(*_conditions(connection, wanted))
    ranks: list[ColumnElement[Any]] = []
    if order is Order.RELEVANCE and _tokens(wanted.words):
        found, rank = _ranked(connection, found, wanted.words)
        ranks = [rank]
    elif order is Order.STARS:
        ranks = [entry.c.stars.desc()]
    elif order is Order.OPENS:
        ranks = [entry.c.opens.desc()]
    found = found.order_by(*ranks, version.c.published_at.desc(), entry.c.id.desc())
    rows = connection.execute(found.limit(limit).offset(offset)).all()
    return [_card(row) for row in rows]


def total(connection: Connection, wanted: Wanted) -> int:
    """Return how many entries a search finds."""
    return int(connection.execute(select(func.count()).where(*_conditions(connection, wanted))).scalar_one())


def facets(connection: Connection, wanted: Wanted) -> Facets:
    """Return how the entries that a search finds are spread.

    An entry has one kind, one image and one status; of these all are counted that could be chosen instead. It has
    many tags and data sets, of which another one narrows what was found.
    """
    return Facets(
        tags=_values(connection, wanted, "tag"),
        datasets=_values(connection, wanted, "dataset"),
        images=_values(connection, wanted, "image"),
        kinds=_column(connection, wanted, entry.c.kind, "kinds"),
        statuses=(
            *_column(connection, wanted, entry.c.state, "states"),
            *_column(connection, wanted, entry.c.proof, "proofs"),
        ),
    )


def builds_on(connection: Connection, name: str) -> list[str]:
    """Return the names of the public entries that build on an entry: opened from it, or reading its data."""
    of_it = or_(
        and_(facet.c.name == "source", facet.c.value == name),
        and_(facet.c.name == "dataset", facet.c.value == f"community.{name}"),
    )
    found = select(entry.c.name).join(facet, facet.c.entry_id == entry.c.id).where(of_it, entry.c.state.in_(SHOWN))
    return list(connection.execute(found.distinct().order_by(entry.c.name)).scalars())


def cards(connection: Connection, names: Collection[str]) -> list[Card]:
    """Return the cards of entries by their names; those that nobody finds are left out."""
    found = select(entry, version.c.sidecar, version.c.details, version.c.published_at).join(
        version, and_(version.c.entry_id == entry.c.id, version.c.number == entry.c.newest)
    )
    found = found.where(entry.c.name.in_(names), entry.c.state.in_(FINDABLE)).order_by(entry.c.name)
    return [_card(row) for row in connection.execute(found).all()]


def _conditions(connection: Connection, wanted: Wanted, *, but: str = "") -> list[ColumnElement[bool]]:
    """Return what an entry fulfils that is found; without what is asked of one facet, where it is named."""
    states = () if but == "states" else wanted.states
    found: list[ColumnElement[bool]] = [entry.c.state.in_(states or (FINDABLE if but == "states" else SHOWN))]
    if wanted.kinds and but != "kinds":
        found.append(entry.c.kind.in_(wanted.kinds))
    if wanted.proofs and but != "proofs":
        found.append(entry.c.proof.in_(wanted.proofs))
    if wanted.images and but != "image":
        found.append(entry.c.id.in_(_having("image", wanted.images)))
    found += [entry.c.id.in_(_having("tag", [tag])) for tag in wanted.tags]
    found += [entry.c.id.in_(_having("dataset", [name])) for name in wanted.datasets]
    if tokens := _tokens(wanted.words)[:MOST_WORDS]:
        found.append(entry.c.id.in_(_matching(connection, tokens)))
    return found


def _having(name: str, values: Collection[str]) -> Select[tuple[int]]:
    return select(facet.c.entry_id).where(facet.c.name == name, facet.c.value.in_(values))


def _matching(connection: Connection, tokens: list[str]) -> Select[Any]:
    if connection.dialect.name == "postgresql":
        condition = text("entry_text.document @@ to_tsquery('english', :words)").bindparams(words=_tsquery(tokens))
        return select(entry_text.c.entry_id).where(condition)
    return select(literal_column("rowid")).select_from(text("entry_search")).where(_matches(tokens))


def _matches(tokens: list[str]) -> Any:
    return text("entry_search MATCH :words").bindparams(words=_fts_query(tokens))


def _fts_query(tokens: list[str]) -> str:
    """Return what FTS5 takes for all of these words, the last of which may be its beginning alone."""
    # A word between quotation marks is a word, whatever FTS5 would make of it without.
    return " ".join(f'"{token}"' for token in tokens) + "*"


def _tsquery(tokens: list[str]) -> str:
    """Return the same for PostgreSQL."""
    return " & ".join(f"'{token}'" for token in tokens) + ":*"


def _ranked(connection: Connection, found: Select[Any], words: str) -> tuple[Select[Any], ColumnElement[Any]]:
    """Return a search that knows how well each entry fits, and what to order it by."""
    tokens = _tokens(words)[:MOST_WORDS]
    if connection.dialect.name == "postgresql":
        found = found.join(entry_text, entry_text.c.entry_id == entry.c.id)
        query = func.to_tsquery("english", _tsquery(tokens))
        weights = "{" + ", ".join(str(weight / _WEIGHTS[0]) for weight in reversed(_WEIGHTS)) + "}"
        rank = func.ts_rank(text(f"'{weights}'::float4[]"), literal_column("entry_text.document"), query)
        return found, rank.desc()
    ranks = (
        select(
            literal_column("rowid").label("ranked"),
            literal_column(f"bm25(entry_search, {_weights()})").label("rank"),
        )
        .select_from(text("entry_search"))
        .where(_matches(tokens))
        .subquery("ranks")
    )
    return found.join(ranks, ranks.c.ranked == entry.c.id), ranks.c.rank


def _weights() -> str:
    return ", ".join(str(weight) for weight in _WEIGHTS)


def _values(connection: Connection, wanted: Wanted, name: str) -> tuple[Count, ...]:
    within = select(entry.c.id).where(*_conditions(connection, wanted, but=name))
    number = func.count().label("number")
    found = select(facet.c.value, number).where(facet.c.name == name, facet.c.entry_id.in_(within))
    found = found.group_by(facet.c.value).order_by(number.desc(), facet.c.value).limit(MOST_VALUES)
    return tuple(Count(value=value, entries=count) for value, count in connection.execute(found))


def _column(connection: Connection, wanted: Wanted, column: Any, name: str) -> tuple[Count, ...]:
    number = func.count().label("number")
    found = select(column, number).where(*_conditions(connection, wanted, but=name)).group_by(column)
    rows = connection.execute(found.order_by(number.desc(), column))
    return tuple(Count(value=value, entries=count) for value, count in rows)


def _card(row: Any) -> Card:
    about = row.sidecar
    return Card(
        name=row.name,
        kind=Kind(row.kind),
        title=about["title"],
        abstract=about["abstract"],
        authors=about["authors"],
        tags=tuple(about.get("tags", ())),
        datasets=tuple(about.get("datasets", ())),
        image=about.get("image"),
        state=State(row.state),
        proof=Proof(row.proof),
        version=row.newest,
        published_at=moment(row.published_at),
        picture=row.details.get("picture"),
        stars=row.stars,
        opens=row.opens,
    )
