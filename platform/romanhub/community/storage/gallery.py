"""Searching the catalogue: by text, with SQLite's FTS5 or PostgreSQL's tsvector, and by facets."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from threading import Lock
from typing import Any

from hubquota.storage.times import moment
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    text,
)

from romanhub.community.storage.tables import act, entry, entry_text, facet, version
from romanhub.models.community import Kind, State
from romanhub.models.entries import Card, Count, Facets, Order, Proof
from romanhub.models.products import product_name

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
    # What is put in order has numbers alone; what is said of entries is read for those of the page.
    found = select(entry.c.name).join(version, _newest()).where(*_conditions(connection, wanted))
    ranks: list[ColumnElement[Any]] = []
    if order is Order.RELEVANCE and _tokens(wanted.words):
        found, rank = _ranked(connection, found, wanted.words)
        ranks = [rank]
    elif order is Order.STARS:
        ranks = [entry.c.stars.desc()]
    elif order is Order.OPENS:
        ranks = [entry.c.opens.desc()]
    found = found.order_by(*ranks, version.c.published_at.desc(), entry.c.id.desc())
    names = connection.execute(found.limit(limit).offset(offset)).scalars().all()
    by_name = {card.name: card for card in cards(connection, names)}
    return [by_name[name] for name in names]


def _newest() -> ColumnElement[bool]:
    return and_(version.c.entry_id == entry.c.id, version.c.number == entry.c.newest)


class Counts:
    """How what searches find is spread, for one catalogue.

    A search for a frequent word finds most of the catalogue, and a database takes long to group what so many
    entries have. So tags, data sets and images are kept at hand, until an act has changed any.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._stamp: int | None = None
        self._values: dict[str, dict[int, tuple[str, ...]]] = {}

    def facets(self, connection: Connection, wanted: Wanted) -> tuple[Facets, int]:
        """Return how the entries that a search finds are spread, and how many they are.

        An entry has one kind, one image and one status; of these all are counted that could be chosen instead. It
        has many tags and data sets, of which another one narrows what was found.
        """
        values = self._at_hand(connection)
        images = values["image"]
        wide = replace(wanted, kinds=(), images=(), proofs=(), states=FINDABLE)
        # Notebooks alone are run, so nothing else waits for its first run.
        proof = case((entry.c.kind == Kind.NOTEBOOK, entry.c.proof))
        statement = select(entry.c.id, entry.c.kind, entry.c.state, proof)
        rows = connection.execute(statement.where(*_conditions(connection, wide))).all()
        states = set(wanted.states or SHOWN)

        def kept(but: str) -> Callable[[Any], bool]:
            """Return whether a kind, a state and a proof are what is asked, but of one of them."""
            kinds, proofs = set(wanted.kinds), set(wanted.proofs)
            return lambda of: (
                (but == "kinds" or not kinds or of[0] in kinds)
                and (but == "states" or of[1] in states)
                and (but == "proofs" or not proofs or of[2] in proofs)
            )

        # Of these there are few different ones, however many entries.
        kinds = Counter((row[1], row[2], row[3]) for row in rows)
        fits = {of for of in kinds if kept("")(of)}
        everywhere = [row[0] for row in rows if (row[1], row[2], row[3]) in fits]
        found = everywhere
        if wanted.images:
            chosen = {number for number, have in images.items() if not set(wanted.images).isdisjoint(have)}
            found = [number for number in everywhere if number in chosen]
            kinds = Counter((row[1], row[2], row[3]) for row in rows if row[0] in chosen)

        def spread(place: int, but: str) -> tuple[Count, ...]:
            counts: Counter[str] = Counter()
            for of, number in kinds.items():
                if of[place] is not None and kept(but)(of):
                    counts[of[place]] += number
            return _most(counts)

        return (
            Facets(
                tags=_most(_count(values["tag"], found)),
                datasets=_most(_count(values["dataset"], found)),
                images=_most(_count(images, everywhere)),
                kinds=spread(0, "kinds"),
                statuses=(*spread(1, "states"), *spread(2, "proofs")),
            ),
            len(found),
        )

    def _at_hand(self, connection: Connection) -> dict[str, dict[int, tuple[str, ...]]]:
        stamp = connection.execute(select(func.max(act.c.id))).scalar() or 0
        with self._lock:
            if self._stamp == stamp:
                return self._values
        lists: dict[str, dict[int, list[str]]] = {"tag": {}, "dataset": {}, "image": {}}
        rows = connection.execute(
            select(facet.c.entry_id, facet.c.name, facet.c.value).where(facet.c.name.in_(lists))
        )
        for number, name, value in rows:
            lists[name].setdefault(number, []).append(value)
        values = {name: {key: tuple(some) for key, some in found.items()} for name, found in lists.items()}
        with self._lock:
            self._stamp, self._values = stamp, values
        return values


def _count(values: dict[int, tuple[str, ...]], numbers: Iterable[int]) -> Counter[str]:
    return Counter(chain.from_iterable(filter(None, map(values.get, numbers))))


def _most(counts: Counter[str]) -> tuple[Count, ...]:
    most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MOST_VALUES]
    return tuple(Count(value=value, entries=number) for value, number in most)


def builds_on(connection: Connection, name: str) -> list[str]:
    """Return the names of the public entries that build on an entry: opened from it, or reading its data."""
    of_it = or_(
        and_(facet.c.name == "source", facet.c.value == name),
        and_(
            facet.c.name == "dataset",
            # The product as such, or one version of it. No letter of a name means more than itself here.
            or_(facet.c.value == product_name(name), facet.c.value.like(f"{product_name(name)}.v%")),
        ),
    )
    found = select(entry.c.name).join(facet, facet.c.entry_id == entry.c.id).where(of_it, entry.c.state.in_(SHOWN))
    return list(connection.execute(found.distinct().order_by(entry.c.name)).scalars())


def cards(connection: Connection, names: Collection[str]) -> list[Card]:
    """Return the cards of entries by their names; those that nobody finds are left out."""
    found = select(entry, version.c.sidecar, version.c.details, version.c.published_at).join(version, _newest())
    found = found.where(entry.c.name.in_(names), entry.c.state.in_(FINDABLE)).order_by(entry.c.name)
    return [_card(row) for row in connection.execute(found).all()]


def _conditions(connection: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    """Return what an entry fulfils that is found."""
    found: list[ColumnElement[bool]] = [entry.c.state.in_(wanted.states or SHOWN)]
    if wanted.kinds:
        found.append(entry.c.kind.in_(wanted.kinds))
    if wanted.proofs:
        found += [entry.c.kind == Kind.NOTEBOOK, entry.c.proof.in_(wanted.proofs)]
    if wanted.images:
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
