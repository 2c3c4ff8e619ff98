"""What can go wrong with the catalogue, each said as a sentence for the person."""

from __future__ import annotations


class CommunityError(Exception):
    """The base of what the catalogue raises."""


class RefusedError(CommunityError):
    """What was sent is not taken; the message says why and what to do."""


class NoSuchEntryError(CommunityError):
    """There is no such entry, or not for whoever asks."""


class NotYoursError(CommunityError):
    """The caller may not do this with the entry."""


class UnavailableError(CommunityError):
    """The catalogue's database or its bucket does not answer."""


class WrongSidecarError(RefusedError):
    """What an author says of an entry cannot be so; `fields` says by field what is wrong."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(" ".join(f"{name}: {text}" for name, text in fields.items()))
        self.fields = fields


class ConflictError(CommunityError):
    """The entry's state does not allow this, or somebody was here first."""
