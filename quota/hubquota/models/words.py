"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import datetime

#: Not by the locale of the process: pages and notices say the same wherever they are made.
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def number_text(number: int, word: str) -> str:
    """Return a number with its word: "1 core", "4 cores"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def duration_text(seconds: int) -> str:
    """Return a length of time in its largest whole unit: "10 minutes", "90 seconds", "2 hours"."""
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds and seconds % size == 0:
            return number_text(seconds // size, word)
    return number_text(seconds, "second")


def moment_text(at: datetime) -> str:
    """Return a time in UTC: "22 November 2026, 14:05 UTC"."""
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}, {at:%H:%M} UTC"


def about_text(seconds: int) -> str:
    """Return a length of time that is still to come, rounded down: "2 hours", "59 minutes", "30 seconds"."""
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return number_text(seconds // size, word)
    return number_text(max(0, seconds), "second")


def bytes_text(number: int) -> str:
    """Return a number of bytes in its largest binary unit: "512 bytes", "1.5 GiB"."""
    if number < 1024:
        return number_text(number, "byte")
    size = 1024
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        if number < size * 1024 or unit == "TiB":
            return f"{number * 10 // size / 10:g} {unit}"
        size *= 1024
    raise AssertionError  # the last unit takes whatever is left
