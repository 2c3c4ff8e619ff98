"""A person's notices, and what they have said about being sent them: for pages and API alike."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hubquota.models.letters import KINDS
from hubquota.models.notices import Notice

from romanhub.portal.desk import Desk
from romanhub.portal.problems import invalid

#: A longer address cannot be a mailbox (RFC 5321, section 4.5.3.1.3, less the angle brackets).
LONGEST_ADDRESS = 254


@dataclass(frozen=True)
class Choice:
    """A kind of notice that a person need not be sent."""

    kind: str
    #: What it tells of, as the end of a sentence that begins "Tell me when".
    when: str
    #: Whether they are sent it.
    sent: bool


@dataclass(frozen=True)
class Wishes:
    """What a person has said about being sent notices."""

    #: The address that was noted for them; None where the sign-in's counts, if it tells one.
    address: str | None
    choices: tuple[Choice, ...]


class Mailbox:
    """Reads notices and notes what people say about them; every method raises LedgerUnavailableError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def unread(self, person: str) -> int:
        """Return how many notices a person has not seen."""
        return await self._desk.ask(lambda: self._desk.ledger.unread(person))

    async def notices(
        self,
        person: str,
        *,
        unread_only: bool = False,
        read_only: bool = False,
        before: int | None = None,
        limit: int,
    ) -> tuple[list[Notice], int | None]:
        """Return notices, the newest first, and what to pass as `before` for the next page."""
        found = await self._desk.ask(
            lambda: self._desk.ledger.notices(
                person, unread_only=unread_only, read_only=read_only, before=before, limit=limit + 1
            )
        )
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def mark_read(self, person: str, numbers: Collection[int] | None) -> int:
        """Note that a person has seen notices, or with None all; return how many they have not seen now."""

        def marking() -> int:
            self._desk.ledger.mark_read(person, numbers)
            return self._desk.ledger.unread(person)

        return await self._desk.act(marking)

    async def wishes(self, person: str) -> Wishes:
        """Return what a person has said about being sent notices."""
        return await self._desk.ask(lambda: self._read(person))

    async def set_address(self, person: str, address: str | None) -> None:
        """Note where a person gets their mail; with None, forget it. Raises PortalError if it is no address."""
        if address is not None and len(address) > LONGEST_ADDRESS:
            raise invalid(f"A mail address has up to {LONGEST_ADDRESS} letters.")
        await self._desk.act(lambda: self._desk.preferences.set_address(person, address))

    async def choose(self, person: str, sent: Collection[str]) -> None:
        """Send a person those optional kinds of notice, and no others of them.

        Raises PortalError for a kind that there is not, or that is always sent.
        """
        optional = {kind for kind, what in KINDS.items() if what.optional}
        if odd := sorted(set(sent) - optional):
            raise invalid(f"'{odd[0]}' is no kind of notice that can be chosen: {', '.join(sorted(optional))}.")

        def choosing() -> None:
            out = self._desk.preferences.opted_out(person)
            for kind in sorted(optional):
                if (kind in out) == (kind in sent):
                    self._desk.preferences.opt_out(person, kind, out=kind not in sent)

        await self._desk.act(choosing)

    def _read(self, person: str) -> Wishes:
        out = self._desk.preferences.opted_out(person)
        return Wishes(
            address=self._desk.preferences.address(person),
            choices=tuple(
                Choice(kind, what.when, kind not in out) for kind, what in KINDS.items() if what.optional
            ),
        )
