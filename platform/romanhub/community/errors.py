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
