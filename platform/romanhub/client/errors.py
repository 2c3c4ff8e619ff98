"""What can go wrong for someone in a notebook, each said as a full sentence that tells what to do."""

from __future__ import annotations


class RomanHubError(Exception):
    """The base of every error that the platform's notebook library raises."""


class OutsidePlatformError(RomanHubError):
    """The code runs somewhere that is not a server or a Dask worker of the platform."""


class PortalUnavailableError(RomanHubError):
    """The platform's portal did not answer, or its answer could not be understood."""


class NotAllowedError(RomanHubError):
    """The portal refused the server's token, or what the token asked for."""


class ArchiveUnavailableError(RomanHubError):
    """The archive's storage did not answer, refused a read, or holds something unreadable."""


class ScratchRefusedError(RomanHubError):
    """A scratch space was not made, extended or reached; the message says why."""


class CommunityRefusedError(RomanHubError):
    """A notebook was not shared, found or copied; the message says why."""


class RunRefusedError(RomanHubError):
    """A notebook was not put into the queue, or not taken back; the message says why."""


class NotInArchiveError(RomanHubError, LookupError):
    """The archive has no file of that name."""


class NotCoveredError(RomanHubError, ValueError):
    """An image does not cover the position that was asked for."""


class ClusterRefusedError(RomanHubError):
    """No Dask cluster was started; the message says why."""


class ClusterEndedError(RomanHubError):
    """The Dask cluster has ended; the message says why."""
