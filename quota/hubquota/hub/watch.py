"""The watch: compares the ledger with the hub, and stops servers that may run no longer.

It is a service of the hub, a process of its own. The hub tells the ledger of begins and ends itself; the
watch finds what the hub could not tell, because it was killed or because the database was away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

import httpx
from sqlalchemy.exc import SQLAlchemyError

from hubquota.hub.api import HubApi, Server
from hubquota.hub.enforcement import Announcements, stops_of
from hubquota.hub.keys import runs_on, server_key, server_of
from hubquota.hub.strays import adopt
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Lease, Refused, Swept
from hubquota.models.stops import LOST, NEVER_STARTED, Outlook, Stop, due_stop, next_moment
from hubquota.models.tiers import Tiers
from hubquota.services.leases import EXTEND_WITHIN
from hubquota.services.ledger import Ledger, utc_now
from hubquota.services.scratch import ScratchSpaces
from hubquota.services.tiersfile import TiersFile

log = logging.getLogger(__name__)

#: Seconds after an admission in which the hub may still tell of the begin by itself.
BEGIN_GRACE = 60
#: Seconds until the next try while the hub or the database does not answer.
RETRY = 5.0
#: How many days scratch is kept after its end where its account's tier is not in the file any more.
DEFAULT_GRACE_DAYS = 30
#: A spawner of this package looks at its server every half minute (`Spawner.poll_interval`) and tells the ledger.
#: After so many seconds without a word, the hub's list has to do, which says what it believed at its last look.
UNSEEN = 90
#: How many stops are asked for at once: the hub answers each when the server has ended, or after ten seconds.
STOPS_AT_ONCE = 32
#: Two passes are so many seconds apart at least, however soon something is due.
SHORTEST = 1.0


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
    #: Servers that ran without a lease, and have one now.
    adopted: int = 0
    #: People who were told of a stop or a limit that is near.
    warned: int = 0
    #: Stops that the hub did not accept, and servers that could not be looked at; the next pass tries again.
    failed: int = 0
    #: When the next stop or warning is due, if that is known; None for nothing.
    next_at: datetime | None = None


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
        name: str = "",
    ) -> None:
        """Watch a hub.

        Args:
            ledger: the ledger that the hub's spawners use.
            tiers: the tiers that say how long a server may run.
            hub: the hub.
            clock: returns the time now, with its time zone.
            extend_within: how many seconds before its hold's end a lease gets its next slice; more than
                the time between two passes.
            name: the hub's name, where several share the ledger; its spawners' `quota_hub`.
        """
        self._name = name
        self._ledger = ledger
        self._extend_within = extend_within
        self._tiers = tiers
        self._hub = hub
        self._clock = clock
        self._announcements = Announcements(ledger)

    def run(self, stop: Event, interval: float) -> None:
        """Pass until `stop` is set. Failures are logged.

        The next pass comes after `interval` seconds, or when the next stop or warning is due, if that is
        sooner: the moment at which an account is spent is computed, and not found by looking often.
        """
        pause = 0.0
        while not stop.wait(pause):
            try:
                done = self.pass_once()
            except (httpx.HTTPError, SQLAlchemyError, Refused) as error:
                log.warning("The watch will try again in %g s: %s", min(RETRY, interval), error)
                pause = min(RETRY, interval)
            else:
                log.info("The watch has passed: %s", done)
                pause = self._pause(done.next_at, interval)

    def pass_once(self) -> Pass:
        """Look at every server once.

        Raises:
            httpx.HTTPError: the hub did not answer.
            SQLAlchemyError: the ledger's database did not.
        """
        done = Pass()
        tiers = self._tiers.current()
        # The ledger first: a lease in this list was open before the hub was asked, so if the hub does
        # not know its server then, the server has gone and is not just about to come.
        leases = self._own_leases()
        now = self._clock()
        servers = {server_key(server.user, server.name, self._name): server for server in self._hub.servers()}
        for key, server in servers.items():
            if server.ready and key not in leases and self._ledger.open_lease(key) is None:
                with self._by_itself(key, done):
                    leases[key] = adopt(self._ledger, tiers, server, key, now)
                    done.adopted += 1
        ready = [key for key, server in servers.items() if server.ready]
        done.seen = len(ready)
        # Not the others: one that has died would be charged until the hub's next look.
        self._ledger.seen((key for key in ready if _is_unseen(leases.get(key), now)), at=now)
        # After what was seen and before what is stopped: whatever can be held for what runs, is.
        ScratchSpaces.sharing(self._ledger).keep(lambda account: self._grace_days(tiers, account))
        done.extended = len(self._ledger.extend_due(within=self._extend_within))
        outlooks = {outlook.account: outlook for outlook in self._ledger.outlooks()}
        # What is spent already counts as ending at the second in which that was found.
        now = self._clock()
        known = {lease.id for lease in leases.values()}
        leases = {key: lease for key, lease in self._own_leases().items() if lease.id in known}
        to_stop: list[tuple[Server, Lease, Stop]] = []
        for key, lease in leases.items():
            server_or_none = servers.get(key)
            with self._by_itself(key, done):
                if server_or_none is None:
                    self._close_if_gone(lease, done)
                elif server_or_none.ready:
                    due = self._look_at(server_or_none, lease, tiers, outlooks.get(lease.account), now, done)
                    if due is not None:
                        to_stop.append((server_or_none, lease, due))
        self._stop_together(to_stop, done)
        self._look_at_accounts(tiers, outlooks, now, done)
        done.swept = self._ledger.sweep()
        return done

    @contextmanager
    def _by_itself(self, key: str, done: Pass) -> Iterator[None]:
        """Keep what is wrong with one server from all others. That the hub or the ledger is away ends the pass."""
        try:
            yield
        except (httpx.HTTPError, SQLAlchemyError):
            raise
        except Exception as error:
            done.failed += 1
            log.error("%s is passed over: %s", key, error, exc_info=not isinstance(error, Refused))

    def _grace_days(self, tiers: Tiers, account: str) -> int:
        found = self._ledger.account(account)
        tier = None if found is None else tiers.tiers.get(tiers.largest(found.tiers))
        # Of a tier that the file no longer has, nothing says how long: long enough for somebody to notice.
        return DEFAULT_GRACE_DAYS if tier is None else tier.grace_days

    def _own_leases(self) -> dict[str, Lease]:
        return {lease.key: lease for lease in self._ledger.open_leases(SERVER) if runs_on(lease.key, self._name)}

    def _close_if_gone(self, lease: Lease, done: Pass) -> None:
        # A list of several pages can miss a server when others stop meanwhile, so ask for this one.
        if self._hub.server(*server_of(lease.key, self._name)) is not None:
            return
        if lease.started_at is None:
            self._ledger.close(lease.id, reason=NEVER_STARTED, kind="failed", actor="watch")
        else:
            self._ledger.close(lease.id, reason=LOST, kind="lost", at=lease.last_alive, actor="watch")
        done.closed += 1

    def _look_at(
        self, server: Server, lease: Lease, tiers: Tiers, outlook: Outlook | None, now: datetime, done: Pass
    ) -> Stop | None:
        """Begin a lease that nobody began, or warn of a stop that is near; return one that is due."""
        if lease.started_at is None:
            if now - lease.admitted_at > timedelta(seconds=BEGIN_GRACE):
                # The hub was killed before it could say when; counting from now favours the user.
                self._ledger.begin(lease.id, at=now)
                done.begun += 1
            return None
        active = max(at for at in (server.last_activity, server.started, lease.started_at) if at is not None)
        stops = stops_of(self._ledger, tiers, lease, outlook, active=active)
        due = due_stop(stops, now)
        if due is not None:
            return due
        if lease.reason is not None and lease.end_kind != "admin":
            # The watch ended between saying so and stopping it, and since then things have changed.
            self._ledger.announce_stop(lease.id, None)
        done.warned += self._announcements.before_stop(lease, stops, tiers.warnings, now)
        self._note(next_moment(stops, tiers.warnings.minutes_before_stop, now), done)
        return None

    def _look_at_accounts(self, tiers: Tiers, outlooks: dict[str, Outlook], now: datetime, done: Pass) -> None:
        for outlook in outlooks.values():
            warned, next_at = self._announcements.of_account(outlook, tiers.warnings, now)
            done.warned += warned
            self._note(next_at, done)
        self._announcements.for_others(outlooks, now)

    def _stop_together(self, to_stop: Sequence[tuple[Server, Lease, Stop]], done: Pass) -> None:
        if not to_stop:
            return
        for _, lease, stop in to_stop:
            log.info("Stopping %s: %s", lease.key, stop.reason)
            # Before the stop, because the hub closes the lease while it stops the server.
            self._ledger.announce_stop(lease.id, stop.reason, stop.kind)
        # Not one after the other: each may take the hub a while, and what is spent is spent for all of them.
        with ThreadPoolExecutor(min(len(to_stop), STOPS_AT_ONCE)) as threads:
            errors = list(threads.map(self._error_of_stop, [server for server, _, _ in to_stop]))
        for (_, lease, _), error in zip(to_stop, errors, strict=True):
            if error is None:
                done.stopped += 1
                continue
            self._ledger.announce_stop(lease.id, None)
            done.failed += 1
            log.warning("The hub did not stop %s: %s", lease.key, error)

    def _error_of_stop(self, server: Server) -> httpx.HTTPError | None:
        try:
            self._hub.stop(server)
        except httpx.HTTPError as error:
            return error
        return None

    def _note(self, moment: datetime | None, done: Pass) -> None:
        if moment is not None and (done.next_at is None or moment < done.next_at):
            done.next_at = moment

    def _pause(self, next_at: datetime | None, interval: float) -> float:
        if next_at is None:
            return interval
        until = (next_at - self._clock()).total_seconds()
        return min(interval, max(SHORTEST, until))


def _is_unseen(lease: Lease | None, now: datetime) -> bool:
    """Return whether nobody has said for a while that a lease's server runs."""
    return lease is None or lease.last_alive is None or now - lease.last_alive > timedelta(seconds=UNSEEN)
