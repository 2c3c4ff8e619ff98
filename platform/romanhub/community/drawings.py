"""How much an SVG picture draws: a short one may refer to itself so often that no browser ends with it."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

#: An SVG picture draws no more elements, with all that it refers to. A scatter plot of 10⁵ points has as many.
MOST_ELEMENTS = 500_000

_ALL = ""


def draws_too_much(svg: str) -> bool:
    """Whether a picture draws more than a browser can be asked to, or hides what it draws behind entities."""
    if "<!entity" in svg.lower():
        return True
    found = _References()
    found.feed(svg)
    return found.total(_ALL, {}, frozenset()) > MOST_ELEMENTS


class _References(HTMLParser):
    """Counts of each element with an id, and of the whole, what is in it and what that refers to."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[tuple[str, str | None]] = [(_ALL, _ALL)]
        self._elements: Counter[str] = Counter()
        self._uses: dict[str, Counter[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and go into it."""
        self._note(tag, attrs)
        self._open.append((tag, dict(attrs).get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Come out of an element."""
        if len(self._open) > 1 and self._open[-1][0] == tag:
            self._open.pop()

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs).get("id")
        within = {name for _, name in self._open if name is not None} | ({own} if own is not None else set())
        to = next((value for name, value in attrs if name.rpartition(":")[2] == "href" and value), "")
        for name in within:
            self._elements[name] += 1
            if tag.rpartition(":")[2] == "use" and to.startswith("#"):
                self._uses.setdefault(name, Counter())[to[1:]] += 1

    def total(self, name: str, known: dict[str, int], above: frozenset[str]) -> int:
        """Return how many elements one draws. What refers to itself draws nothing: browsers stop there."""
        if name in above or len(above) > 100:
            return 0
        if name not in known:
            uses = self._uses.get(name, Counter())
            deeper = sum(times * self.total(to, known, above | {name}) for to, times in uses.items())
            known[name] = self._elements[name] + deeper
        return known[name]
