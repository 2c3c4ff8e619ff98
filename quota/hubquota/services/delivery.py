"""Sending notices: each once by each channel that is set up, again after a failure, and not for ever.

What is sent is claimed in the database first, so that of two deliverers only one sends it. One that dies
between sending and noting it is the reason why receivers may get a notice twice: a mail's Message-ID and the
webhook's Idempotency-Key are the same then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from hubquota.models.delivery import ChannelName, Delivered, Delivery, DeliverySettings
from hubquota.models.letters import ADMINS, KINDS
from hubquota.models.notices import Notice
from hubquota.services.base import Service, utc_now
from hubquota.storage import deliveries, notices
from hubquota.storage.channels import ANSWERS, Channel, Mail, UndeliveredError, Webhook
from hubquota.storage.deliveries import Claimed
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import DAY, seconds

log = logging.getLogger(__name__)

_BATCH = 100
#: Seconds that a claim lasts beyond the time that the channel may take.
_MARGIN = 60
#: After so many failures in a row, a channel is left alone until the next pass.
_ENOUGH = 3

AddressOf = Callable[[str], str | None]


class Delivering(Service):
    """Sends notices, and knows what people have said about being sent them."""

    def __init__(
        self,
        engine: Engine,
        settings: DeliverySettings,
        clock: Callable[[], datetime] = utc_now,
        *,
        address_of: AddressOf | None = None,
        channels: Sequence[Channel] | None = None,
    ) -> None:
        """Use a ledger's database.

        Args:
            engine: from `hubquota.storage.make_engine`.
            settings: from `hubquota.services.settingsfile`.
            clock: returns the time now, with its time zone.
            address_of: returns a person's mail address, where none was noted for them; may raise OSError or
                ValueError when it cannot say now.
            channels: what to send by; if not given, what the settings say.
        """
        super().__init__(engine, clock)
        self._settings = settings
        self._claimed_address_of = address_of
        self._channels = {one.name: one for one in (make_channels(settings) if channels is None else channels)}

    def deliver(self, *, stop: Callable[[], bool] = lambda: False) -> Delivered:
        """Send everything that is due. Several may do so at once.

        Args:
            stop: asked between two deliveries whether to leave the rest for the next time.
        """
        routed = self._route()
        counts = {"sent": 0, "failed": 0, "given_up": 0}
        # How many in a row failed by each channel: one that does not work is left for the next time.
        failures = dict.fromkeys(self._channels, 0)
        try:
            while (working := [name for name in failures if failures[name] < _ENOUGH]) and not stop():
                claimed = self._claim(working)
                if claimed is None:
                    break
                outcome = self._send(claimed)
                counts[outcome] += 1
                failures[claimed.channel] = failures[claimed.channel] + 1 if outcome == "failed" else 0
        finally:
            for channel in self._channels.values():
                channel.close()
        return Delivered(routed=routed, **counts)

    def given_up(self, *, after: int = 0, limit: int = 100) -> list[Delivery]:
        """Return deliveries that were given up, from the one after the given number on."""
        with reading(self._engine) as connection:
            return deliveries.given_up(connection, after=after, limit=limit)

    def deliveries(self, notice: int) -> list[Delivery]:
        """Return what has become of a notice, by channel."""
        with reading(self._engine) as connection:
            return deliveries.of_notice(connection, notice)

    def try_again(self, numbers: Sequence[int] | None = None) -> int:
        """Let deliveries that were given up be tried anew, all if none are named; return how many."""
        with decision(self._engine) as connection:
            return deliveries.try_again(connection, numbers, now=self._now())

    # Where it goes -----------------------------------------------------------------------------------

    def _route(self) -> int:
        routed, after = 0, 0
        while True:
            with reading(self._engine) as connection:
                found = deliveries.unrouted(connection, after=after, limit=_BATCH)
                out = deliveries.opted_out(connection, {notice.person for notice in found})
            if not found:
                return routed
            after = found[-1].id
            # Outside of any transaction: addresses may have to be asked for.
            routes = [
                (notice.id, channels)
                for notice in found
                if (channels := self._channels_for(notice, out)) is not None
            ]
            with decision(self._engine) as connection:
                for notice in found:
                    if notice.person == ADMINS:
                        self._copy_for_admins(connection, notice)
                deliveries.route(connection, routes, at=self._now())
            routed += len(routes)

    def _channels_for(self, notice: Notice, out: set[tuple[str, str]]) -> list[ChannelName] | None:
        """Return where a notice goes; None if that cannot be said now."""
        old = self._now() - seconds(notice.made_at) > self._settings.stale_after_days * DAY
        if notice.person == ADMINS or old or (notice.optional and (notice.person, notice.kind) in out):
            return []
        found: list[ChannelName] = []
        for name in self._channels:
            if name == "mail":
                try:
                    if self.address_of(notice.person) is None:
                        continue
                except (OSError, ValueError) as error:
                    log.warning("The address of %s cannot be found out now: %s", notice.person, error)
                    return None
            found.append(name)
        return found

    def _copy_for_admins(self, connection: Connection, notice: Notice) -> None:
        for person in self._settings.admins:
            notices.add(
                connection,
                person=person,
                kind=notice.kind,
                key=notice.key,
                subject=notice.subject,
                text=notice.text,
                optional=notice.optional,
                at=seconds(notice.made_at),
            )

    # Sending -----------------------------------------------------------------------------------------

    def _claim(self, working: Sequence[ChannelName]) -> Claimed | None:
        longest = max(channel.timeout for channel in self._channels.values())
        with decision(self._engine) as connection:
            now = self._now()
            until = now + int(ANSWERS * longest) + _MARGIN
            return deliveries.claim(connection, working, now=now, until=until)

    def _send(self, claimed: Claimed) -> str:
        try:
            # Nobody else needs to know where a person gets their mail.
            address = self.address_of(claimed.notice.person) if claimed.channel == "mail" else None
            self._channels[claimed.channel].send(claimed.notice, address)
        except (UndeliveredError, OSError, ValueError) as error:
            return self._failed(claimed, error)
        with decision(self._engine) as connection:
            deliveries.note_sent(connection, claimed, at=self._now())
        return "sent"

    def _failed(self, claimed: Claimed, error: Exception) -> str:
        final = isinstance(error, UndeliveredError) and error.final
        final = final or claimed.attempts >= self._settings.attempts
        log.warning(
            "Notice %d for %s did not go out by %s, try %d%s: %s",
            claimed.notice.id,
            claimed.notice.person,
            claimed.channel,
            claimed.attempts,
            ", the last one" if final else "",
            error,
        )
        with decision(self._engine) as connection:
            now = self._now()
            if final:
                deliveries.give_up(connection, claimed, str(error), at=now)
                return "given_up"
            wait = self._settings.wait_after(claimed.attempts)
            deliveries.note_failed(connection, claimed, str(error), next_try_at=now + wait)
            return "failed"

    # What people have said ---------------------------------------------------------------------------

    def address_of(self, person: str) -> str | None:
        """Return a person's mail address: the one that was noted, or else the one that the sign-in tells."""
        with reading(self._engine) as connection:
            noted = deliveries.address_of(connection, person)
        if noted is not None or self._claimed_address_of is None:
            return noted
        return self._claimed_address_of(person)


class Preferences(Service):
    """What people have said about being sent notices."""

    def opt_out(self, person: str, kind: str, *, out: bool = True) -> None:
        """Do not send a person notices of a kind any more, or with `out` False do so again.

        Raises:
            ValueError: notices of that kind are always sent.
        """
        if out and kind in KINDS and not KINDS[kind].optional:
            raise ValueError(f"Notices of the kind {kind} are always sent.")
        with decision(self._engine) as connection:
            deliveries.set_opt_out(connection, person, kind, out=out, at=self._now())

    def opted_out(self, person: str) -> set[str]:
        """Return the kinds of which a person does not want to be sent notices."""
        with reading(self._engine) as connection:
            return {kind for _, kind in deliveries.opted_out(connection, [person])}

    def set_address(self, person: str, address: str | None) -> None:
        """Note a person's mail address, or with None forget it.

        Raises:
            ValueError: it is not an address.
        """
        if address is not None and (
            address.count("@") != 1
            or not all(address.split("@"))
            or any(sign in address for sign in " <>,;\r\n\t")
        ):
            raise ValueError(f"'{address}' is not a mail address such as ada@example.org.")
        with decision(self._engine) as connection:
            deliveries.set_address(connection, person, address, at=self._now())

    def address(self, person: str) -> str | None:
        """Return the mail address that was noted for a person."""
        with reading(self._engine) as connection:
            return deliveries.address_of(connection, person)


def make_channels(settings: DeliverySettings) -> list[Channel]:
    """Return the channels that are set up."""
    found: list[Channel] = []
    if settings.mail is not None:
        found.append(Mail(settings.mail))
    if settings.webhook is not None:
        found.append(Webhook(settings.webhook))
    return found
