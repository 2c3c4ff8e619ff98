"""What an adapter of the purge does, and where adapters come from.

An adapter knows one kind of thing that accounts have. It takes a thing away in two steps that can be undone
(a copy in the archive, then a move into a quarantine) and one that cannot (deletion from the quarantine), and
brings it back out of either. Every method may be interrupted anywhere and called again.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import IO, Any, Protocol, runtime_checkable

from hubquota.models.ledger import AccountKind
from hubquota.models.purge import PurgeError, Seen, Thing
from hubquota.models.purge_settings import PurgeSettings
from hubquota.purge.archive import Entry, Progress, Sink

#: The group of entry points in which packages offer adapters.
ENTRY_POINTS = "hubquota.purge_adapters"

Entries = Iterator[tuple[Entry, IO[bytes] | None]]


@runtime_checkable
class Adapter(Protocol):
    """Takes one kind of thing away, and brings it back.

    Methods raise `OSError` or `PurgeError` where something cannot be done; what they were called for is then
    done again in a later run. `TouchedError` says that the thing is not what was seen of it, or cannot be
    taken for a reason that its owner can read; it is then left alone.
    """

    #: Whether it waits until everything else of the account is deleted.
    last: bool

    def find(self, account: str, kind: AccountKind) -> Iterable[str]:
        """Yield the names of what an account has. One name is one thing, whenever it is asked."""

    def look(self, thing: Thing) -> Seen | None:
        """Return what a thing looks like where it belongs; None where it is not there."""

    def archive(self, thing: Thing, sink: Sink) -> None:
        """Write a thing into an archive. Raises TouchedError where it changes meanwhile."""

    def quarantine(self, thing: Thing, fingerprint: str) -> str:
        """Move a thing aside, whole; return a fingerprint of it there.

        Where that has been done already, say so again. Raises TouchedError, with everything where it was,
        where it is not what the fingerprint says.
        """

    def look_aside(self, thing: Thing) -> str | None:
        """Return the fingerprint of a thing in the quarantine; None where it is not there."""

    def give_back(self, thing: Thing) -> str | None:
        """Move a thing out of the quarantine; return where to, None where it was where it belongs.

        What has come to be where it belongs is never written over: it then goes beside that.
        """

    def delete(self, thing: Thing, progress: Progress) -> None:
        """Delete a thing in the quarantine, and nothing else."""

    def restore(self, thing: Thing, entries: Entries) -> str:
        """Bring a thing back as its archive has it; return where to. Nothing is ever written over."""

    def finish(self, thing: Thing) -> None:
        """Clear away what is left of it in the quarantine: it has been given back or restored."""


def load_adapters(settings: PurgeSettings) -> dict[str, Adapter]:
    """Return the adapters that the settings name, each with its options.

    Raises:
        PurgeError: one cannot be found, or its options are wrong. The text says which, and what is.
    """
    return {name: _load(name, options) for name, options in settings.adapters.items()}


def import_string(text: str) -> Any:
    """Return what an import string such as ``package.module:attribute`` stands for.

    Raises:
        PurgeError: there is no such thing.
    """
    module, _, attribute = text.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise PurgeError(f"'{text}' cannot be imported: {error}") from error


def _load(name: str, options: Mapping[str, Any]) -> Adapter:
    kind = str(options["type"])
    if ":" in kind:
        factory = import_string(kind)
    else:
        offered = {found.name: found for found in entry_points(group=ENTRY_POINTS)}
        if kind in offered:
            factory = offered[kind].load()
        elif kind in _OWN:
            factory = import_string(_OWN[kind])
        else:
            known = ", ".join(sorted({*offered, *_OWN}))
            raise PurgeError(f"adapters.{name}: there is no adapter '{kind}'; allowed: {known}, module:attribute.")
    try:
        made = factory(**{key: value for key, value in options.items() if key != "type"})
    except (TypeError, ValueError) as error:
        raise PurgeError(f"adapters.{name}: {error}") from error
    if not isinstance(made, Adapter):
        raise PurgeError(f"adapters.{name}: '{kind}' does not make an adapter of the purge.")
    return made


#: The adapters that come with hubquota; they work without being installed as entry points, too.
_OWN = {
    "home-folder": "hubquota.purge.home:make",
    "object-prefix": "hubquota.purge.objects:make",
    "hub-record": "hubquota.purge.hubrecord:make",
}
