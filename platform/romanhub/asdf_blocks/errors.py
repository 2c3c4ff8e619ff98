"""What can go wrong while a file is read in pieces. Each message is one sentence and names no address or key."""

from __future__ import annotations


class BlocksError(Exception):
    """The base of every error of this package."""


class NotThereError(BlocksError):
    """The storage holds no such object."""


class ChangedError(BlocksError):
    """The object was replaced by another one after it was opened."""


class CutShortError(BlocksError):
    """The object ends before what its own headers, or its index, say that it holds."""


class ChecksumError(BlocksError):
    """A whole block does not have the checksum that its header gives."""


class CorruptError(BlocksError):
    """The bytes of a header or of a compressed block cannot be understood."""


class UnknownCompressionError(BlocksError):
    """A block is compressed in a way that this package does not know."""


class NotAsdfError(BlocksError):
    """The object is not an ASDF file."""


class DeniedError(BlocksError):
    """The storage refused the credentials, also after they were renewed."""


class UnreachableError(BlocksError):
    """The storage did not answer, or not with what was asked for, however often it was asked."""
