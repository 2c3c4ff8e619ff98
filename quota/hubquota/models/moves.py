"""Who may move something from one state to the next: a table of steps, which decides and which the docs render."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

Where = TypeVar("Where", bound=StrEnum)


class Mover(StrEnum):
    """Who moves an allocation."""

    USER = "user"
    PI = "pi"
    ADMIN = "admin"
    #: A date, without anybody doing anything.
    CLOCK = "clock"
    #: The engine, when it books or carries out what dates and people have decided.
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Move(Generic[Where]):
    """One step that something may take."""

    start: Where
    end: Where
    movers: tuple[Mover, ...]
    #: What makes it happen, as a sentence.
    when: str


def allowed(moves: Iterable[Move[Where]]) -> dict[tuple[Where, Where], frozenset[Mover]]:
    """Return who may take each step, of which the table may have several for different movers."""
    found: dict[tuple[Where, Where], frozenset[Mover]] = {}
    for move in moves:
        step = move.start, move.end
        found[step] = found.get(step, frozenset()) | frozenset(move.movers)
    return found


def moves_table(word: str, meaning: Mapping[Where, str], moves: Iterable[Move[Where]]) -> str:
    """Return two Markdown tables, of where something may be and of the steps between; `word` heads the first."""
    return "\n".join(
        [
            f"| {word} | Means |",
            "| --- | --- |",
            *(f"| {where.value} | {text} |" for where, text in meaning.items()),
            "",
            "| From | To | Moved by | When |",
            "| --- | --- | --- | --- |",
            *(
                f"| {move.start.value} | {move.end.value} | {', '.join(move.movers)} | {move.when} |"
                for move in moves
            ),
            "",
        ]
    )
