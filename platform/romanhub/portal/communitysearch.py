"""The gallery's address: what a search asks for, and the links that narrow and widen it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from romanhub.models.entries import Count, Facets, Found, Order

#: The facets by their names in addresses, and what a page calls them.
FACETS = {
    "status": "Status",
    "kind": "Kind",
    "tag": "Tag",
    "dataset": "Data set",
    "image": "Environment",
}

#: What a status says to a reader.
STATUS_WORDS = {
    "public": "not reviewed",
    "reviewed": "reviewed",
    "deprecated": "deprecated",
    "passed": "runs",
    "failed": "fails",
    "stale": "not run lately",
    "never": "never run",
}

ORDERS = {Order.RELEVANCE: "best first", Order.NEWEST: "newest", Order.STARS: "stars", Order.OPENS: "opens"}

#: So many values of a facet are shown before the rest is folded away, and so many can be chosen.
SHOWN, _MOST = 8, 20


@dataclass(frozen=True)
class Asked:
    """What the address of the gallery asks for."""

    words: str = ""
    chosen: tuple[tuple[str, str], ...] = ()
    order: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: QueryParams) -> Asked:
        """Return what an address asks for; what it cannot ask is left out."""
        chosen = [(name, value[:100]) for name, value in query.multi_items() if name in FACETS and value][:_MOST]
        page, order = query.get("page", "1"), query.get("order", "")
        return cls(
            words=query.get("q", "").strip()[:200],
            chosen=tuple(dict.fromkeys(chosen)),
            order=order if order in list(Order) else "",
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
        )

    def values(self, facet: str) -> tuple[str, ...]:
        """Return the values of a facet that are chosen."""
        return tuple(value for name, value in self.chosen if name == facet)

    def query(self) -> str:
        """Return the address's query."""
        pairs = [("q", self.words)] if self.words else []
        pairs += self.chosen
        pairs += [("order", self.order)] if self.order else []
        pairs += [("page", str(self.page))] if self.page > 1 else []
        return urlencode(pairs)

    def with_(self, facet: str, value: str) -> str:
        """Return the query that asks for one value more, from the first page on."""
        return replace(self, chosen=(*self.chosen, (facet, value)), page=1).query()

    def without(self, facet: str, value: str) -> str:
        """Return the query that asks for one value less."""
        return replace(self, chosen=tuple(one for one in self.chosen if one != (facet, value)), page=1).query()

    def at(self, page: int) -> str:
        """Return the query of another page."""
        return replace(self, page=page).query()


@dataclass(frozen=True)
class Choice:
    """One value of a facet, and where it leads."""

    text: str
    entries: int
    query: str
    chosen: bool


@dataclass(frozen=True)
class Choices:
    """A facet as the page shows it."""

    title: str
    first: tuple[Choice, ...]
    rest: tuple[Choice, ...]


def choices(asked: Asked, found: Found) -> list[Choices]:
    """Return the facets with their links; without those that have nothing to choose."""
    by_name: Mapping[str, Iterable[Count]] = _by_name(found.facets)
    shown = []
    for facet, title in FACETS.items():
        counts = list(by_name[facet])
        known = {one.value for one in counts}
        counts += [Count(value=value, entries=0) for value in asked.values(facet) if value not in known]
        one = [
            Choice(
                text=STATUS_WORDS.get(count.value, count.value) if facet == "status" else count.value,
                entries=count.entries,
                query=(asked.without if (facet, count.value) in asked.chosen else asked.with_)(facet, count.value),
                chosen=(facet, count.value) in asked.chosen,
            )
            for count in counts
        ]
        one.sort(key=lambda choice: not choice.chosen)
        if one:
            shown.append(Choices(title, tuple(one[:SHOWN]), tuple(one[SHOWN:])))
    return shown


def _by_name(facets: Facets) -> dict[str, tuple[Count, ...]]:
    return {
        "status": facets.statuses,
        "kind": facets.kinds,
        "tag": facets.tags,
        "dataset": facets.datasets,
        "image": facets.images,
    }
