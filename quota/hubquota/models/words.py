"""Numbers and times as people read them."""

from __future__ import annotations


def number_text(number: int, word: str) -> str:
    """Return a number with its word: "1 core", "4 cores"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def duration_text(seconds: int) -> str:
    """Return a length of time in its largest whole unit: "10 minutes", "90 seconds", "2 hours"."""
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds and seconds % size == 0:
            return number_text(seconds // size, word)
    return number_text(seconds, "second")
