"""What a plan that is shown says of each thing, for the form that carries it out: a number and an end."""

from __future__ import annotations

from datetime import UTC, datetime

from romanhub.portal.problems import invalid


def told(number: int, end: datetime | None) -> str:
    """Return a thing's number, and the end that was shown, as text."""
    return f"{number}:{int(end.timestamp()) if end else ''}"


def seen(text: str) -> tuple[int, datetime | None]:
    """Return what `told` wrote; raises PortalError where it did not."""
    number, _, end = text.partition(":")
    if not text.isascii() or not number.isdigit() or not (end.isdigit() or not end):
        raise invalid(_UNREADABLE)
    if int(number) >= 2**63 or len(end) > 11:
        raise invalid(_UNREADABLE)
    return int(number), datetime.fromtimestamp(int(end), UTC) if end else None


_UNREADABLE = "The plan that was sent cannot be read. Make it again."
