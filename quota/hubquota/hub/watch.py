"""The watch: compares the ledger with the hub, and stops servers that may run no longer.

It is a service of the hub, a process of its own. The hub tells the ledger of begins and ends itself; the
watch finds what the hub could not tell, because it was killed or because the database was away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

import httpx
from sqlalchemy.exc import SQLAlchemyError

from hubquota.hub.api import HubApi, Server
from hubquota.hub.keys import SERVER, server_key, server_of
from hubquota.models.ledger import Lease, Swept
from hubquota.models.tiers import Tier
from hubquota.models.words import duration_text
from hubquota.services.leases import EXTEND_WITHIN
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.tiersfile import TiersFile

log = logging.getLogger(__name__)

#: Seconds after an admission in which the hub may still tell of the begin by itself.
BEGIN_GRACE = 60
#: Seconds until the next try while the hub or the database does not answer.
RETRY = 5.0


@dataclass(slots=True)
class Pass:
    """What one pass of the watch did, in numbers of servers."""

    seen: int = 0
    begun: int = 0
    closed: int = 0
    stopped: int = 0
    #: Leases of any kind that got their next slice.
    extended: int = 0
    #: What dates had decided, and is written down now.
    swept: Swept = field(default_factory=Swept)
    #: Servers that run without a lease: started before the ledger was put in, or past it.
    without_lease: int = 0
    #: Stops that the hub did not accept; the next pass tries again.
    failed: int = 0


class Watch:
    """Looks at all servers of one hub, again and again."""

    def __init__(
        self,
        ledger: Ledger,
        tiers: TiersFile,
        hub: HubApi,
        clock: Callable[[], datetime] = utc_now,
        *,
        extend_within: int = EXTEND_WITHIN,
    ) -> None:
        """Watch a hub.

        Args:
            ledger: the ledger that the hub's spawners use.
            tiers: the tiers that say how long a server may run.
            hub: the hub.
            clock: returns the time now, with its time zone.
            extend_within: how many seconds before its hold's end a lease gets its next slice; more than
                the time between two passes.
        """
        self._ledger = ledger
        self._extend_within = extend_within
        self._tiers = tiers
        self._hub = hub
        self._clock = clock

    def run(self, stop: Event, interval: float) -> None:
        """Pass at once and then every `interval` seconds, until `stop` is set. Failures are logged."""
        pause = 0.0
        while not stop.wait(pause):
            try:
                done = self.pass_once()
            except (httpx.HTTPError, SQLAlchemyError) as error:
                log.warning("The watch will try again in %g s: %s", min(RETRY, interval), error)
                pause = min(RETRY, interval)
            else:
                log.info("The watch has passed: %s", done)
                pause = interval

    def pass_once(self) -> Pass:
        """Look at every server once.

        Raises:
            httpx.HTTPError: the hub did not answer.
            SQLAlchemyError: the ledger's database did not.
        """
        done = Pass()
        # The ledger first: a lease in this list was open before the hub was asked, so if the hub does
        # not know its server then, the server has gone and is not just about to come.
        leases = {lease.key: lease for lease in self._ledger.open_leases(SERVER)}
        now = self._clock()
        servers = {server_key(server.user, server.name): server for server in self._hub.servers()}
        done.seen = self._ledger.seen((key for key, server in servers.items() if server.ready), at=now)
        # After what was seen and before what is stopped: whatever can be held for what runs, is.
        done.extended = len(self._ledger.extend_due(within=self._extend_within))
        known = {lease.id for lease in leases.values()}
        leases = {lease.key: lease for lease in self._ledger.open_leases(SERVER) if lease.id in known}
        for key, lease in leases.items():
            server = servers.get(key)
            if server is None:
                self._close_if_gone(lease, done)
            elif server.ready:
                self._look_at(server, lease, now, done)
        missing = [key for key, server in servers.items() if server.ready and key not in leases]
        for key in missing:
            if self._ledger.open_lease(key) is None:
                done.without_lease += 1
                log.warning("%s runs without a lease; nobody is charged for it.", key)
        done.swept = self._ledger.sweep()
        return done

    def _close_if_gone(self, lease: Lease, done: Pass) -> None:
        # A list of several pages can miss a server when others stop meanwhile, so ask for this one.
        if self._hub.server(*server_of(lease.key)) is not None:
            return
        if lease.started_at is None:
            self._ledger.close(lease.id, reason="The server never started.", actor="watch")
        else:
            self._ledger.close(
                lease.id,
                reason="The hub did not know the server any more; closed when it was last seen.",
                at=lease.last_alive,
                actor="watch",
            )
        done.closed += 1

    def _look_at(self, server: Server, lease: Lease, now: datetime, done: Pass) -> None:
        if lease.started_at is None:
            if now - lease.admitted_at > timedelta(seconds=BEGIN_GRACE):
                # The hub was killed before it could say when; counting from now favours the user.
                self._ledger.begin(lease.id, at=now)
                done.begun += 1
            return
        account = self._ledger.account(lease.account)
        tiers = self._tiers.current()
        tier = tiers.tiers.get(tiers.largest(account.tiers)) if account else None
        reason = _why_stop(server, lease.started_at, tier, now) if tier else None
        if reason is None and lease.rate and self._spent(lease, now):
            reason = "The credits that paid for it are used up."
        if reason is not None:
            self._stop(server, lease, reason, done)

    def _spent(self, lease: Lease, now: datetime) -> bool:
        """Return whether nothing can pay for a lease any more."""
        covered = lease.covered_until
        if covered is not None and covered > now:
            return False
        end = self._ledger.exhausts_at(lease.account)
        return end is not None and end <= now

    def _stop(self, server: Server, lease: Lease, reason: str, done: Pass) -> None:
        log.info("Stopping %s: %s", lease.key, reason)
        # Before the stop, because the hub closes the lease while it stops the server.
        self._ledger.announce_stop(lease.id, reason)
        try:
            self._hub.stop(server)
        except httpx.HTTPError as error:
            self._ledger.announce_stop(lease.id, None)
            done.failed += 1
            log.warning("The hub did not stop %s: %s", lease.key, error)
        else:
            done.stopped += 1


def _why_stop(server: Server, started: datetime, tier: Tier, now: datetime) -> str | None:
    longest = timedelta(hours=tier.longest_session_hours)
    if now - started >= longest:
        return (
            f"It ran for {duration_text(int(longest.total_seconds()))}, the longest that the tier "
            f"{tier.title} allows."
        )
    idle = timedelta(minutes=tier.idle_stop_minutes)
    active = max(at for at in (server.last_activity, server.started, started) if at is not None)
    if now - active >= idle:
        return (
            f"It was without activity for {duration_text(int(idle.total_seconds()))}, after which the "
            f"tier {tier.title} stops a server."
        )
    return None
