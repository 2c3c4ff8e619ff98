"""A mixin that makes any spawner ask the ledger before a start, and tell it of the begin and the end.

class QuotaSpawner(QuotaSpawnerMixin, KubeSpawner):
    pass

c.JupyterHub.spawner_class = QuotaSpawner
c.Spawner.quota_tiers_file = "/etc/jupyterhub/tiers.yaml"
c.Spawner.quota_database_url = "postgresql+psycopg://hub@db/quota"
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from types import MappingProxyType
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import observe

from hubquota.hub.desk import LedgerDownError
from hubquota.hub.endings import Ending, pod_ending, pod_of
from hubquota.hub.form import ACCOUNT, SIZE
from hubquota.hub.keys import server_key
from hubquota.hub.metrics import admission
from hubquota.hub.offers import offer_without_ledger
from hubquota.hub.options import unknown_options
from hubquota.hub.refusal import refusal_error
from hubquota.hub.spawner_base import finished, groups_of
from hubquota.hub.spawner_pages import LEDGER_DOWN, QuotaPages
from hubquota.hub.stoppers import why_stopped
from hubquota.models.entitlement import CLEAN_UP
from hubquota.models.ledger import Refused
from hubquota.models.stops import ENDED, NO_ANSWER, NOT_STARTED, STOPPED, EndKind
from hubquota.models.tiers import Size
from hubquota.services.ledger import Ledger
from hubquota.services.starts import Start
from hubquota.storage.allowance import Allowed

log = logging.getLogger(__name__)

_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

_ALLOWANCE_OVER = "It ran for as long as a server may while the accounts cannot be read."

#: Whether a poll is under way: a stop within it clears up, and is none that somebody asked for.
_IN_POLL: ContextVar[bool] = ContextVar("hubquota_in_poll", default=False)


class QuotaSpawnerMixin(QuotaPages, Spawner):  # type: ignore[misc]
    """Put this before a spawner's class. It overrides public methods of JupyterHub's `Spawner` only."""

    #: The number of the server's lease; kept in the hub's database with the rest of the spawner's state.
    _lease_id: int | None = None
    #: When `poll` last found the server running; None before it did, and after a restart of the hub.
    _alive_at: datetime | None = None
    #: When `stop` was through; None while nobody asked the server to stop.
    _stopped_at: datetime | None = None
    #: Why it stopped then.
    _why_stopped: tuple[str, EndKind] = (STOPPED, "stopped")
    #: Whether the hub has heard from the server, so that somebody can use it.
    _answered: bool = True
    #: What the machinery below says of the end of a server that died.
    _ending: Ending | None = None
    #: What the start is noted as that was allowed without the ledger; None for one that the ledger admitted.
    _allowed: Allowed | None = None
    #: The size that the server's limits are those of; None where they may be others.
    _sized: Size | None = None
    #: The size that was admitted, and whether for a clean-up server.
    _admitted: tuple[Size, bool] | None = None
    #: Why the server was stopped from here, which nobody else can say.
    _own_reason: tuple[str, EndKind] | None = None

    # A start -----------------------------------------------------------------------------------------

    async def run_auth_state_hook(self, auth_state: dict[str, Any] | None) -> Any:
        """Keep what the identity provider says of the user for the rules of the tiers file."""
        self._claims = auth_state
        return await finished(super().run_auth_state_hook(auth_state))

    async def run_pre_spawn_hook(self) -> None:
        """Ask the ledger, set the machine's size, then run the hook that the configuration may have."""
        self._lease_id = self._alive_at = self._stopped_at = None
        self._ending, self._allowed, self._own_reason = None, None, None
        self._answered = False
        self._why_stopped = STOPPED, "stopped"
        try:
            with admission():
                size, clean_up = await self._admit_or_allow()
            self.apply_clean_up(clean_up)
        except Refused as refused:
            raise refusal_error(refused) from None
        self.apply_size(size)
        self._admitted = size, clean_up
        if (hook := super().run_pre_spawn_hook()) is not None:
            await finished(hook)

    def apply_size(self, size: Size) -> None:
        """Give the server the size's cores and memory for itself alone: the user pays for them."""
        # Mostly it is the size of the last start, and traits are dear, both to look at and to set.
        if size is not self._sized:
            self.cpu_limit = self.cpu_guarantee = float(size.cores)
            self.mem_limit = self.mem_guarantee = size.memory_gib * 2**30
            self._sized = size

    def apply_admitted(self) -> None:
        """Make the server again what was admitted, after something that may have changed it."""
        if self._admitted is not None:
            size, clean_up = self._admitted
            self.apply_clean_up(clean_up)
            self.apply_size(size)

    @observe("cpu_limit", "cpu_guarantee", "mem_limit", "mem_guarantee")
    def _note_other_limits(self, _: object) -> None:
        self._sized = None

    async def start(self) -> Any:
        """Start the server; its lease begins when it has started, and ends at once when it has not."""
        lease_id = self._lease_id
        started = False
        try:
            where = await finished(super().start())
            started = True
        finally:
            if not started and self._allowed is not None:
                await self._close()
            elif lease_id is not None and not started:
                self._desk.owe(self._key, lambda ledger: ledger.close(lease_id, reason=NOT_STARTED, kind="failed"))
        if lease_id is not None:
            self._alive_at = self._desk.now()
            await self._desk.begin(self._key, lease_id, self.began_at() or self._alive_at)
        elif self._allowed is not None:
            self._alive_at = self._desk.now()
            await self._allowance.begin(self._allowed.id, self._alive_at)
        return where

    # What a subclass may know ------------------------------------------------------------------------

    def began_at(self) -> datetime | None:
        """Return when the machinery says that the server began; None where only the hub's clock is known."""
        return None

    def ending(self) -> Ending | None:
        """Return what the machinery says of a server's end; None where it says nothing."""
        return pod_ending(pod_of(self))

    def answers(self) -> bool:
        """Return whether the machinery hears of a server that it counts as running."""
        return True

    def give_up(self, ending: Ending) -> None:
        """Note why a server counts as dead that the machinery still has in its books."""
        self._ending = ending

    def stopped_at(self, at: datetime | None) -> None:
        """Note when a server that was asked to stop had ended, where the machinery says so."""
        if at is not None and self._stopped_at is not None:
            self._stopped_at = min(self._stopped_at, at)

    # While it runs -----------------------------------------------------------------------------------

    def add_poll_callback(self, callback: Any, *args: Any, **kwargs: Any) -> None:
        """Note that the server answers: only then the hub wants to be told of its end."""
        self._answered = True
        super().add_poll_callback(callback, *args, **kwargs)

    async def poll(self) -> Any:
        """Return what the spawner's own poll says, and remember when it found the server running."""
        # Before: some spawners clear away what they find dead, and the reason with it.
        ending = self.ending()
        token = _IN_POLL.set(True)
        try:
            status = await finished(super().poll())
        finally:
            _IN_POLL.reset(token)
        if status is None and await self._allowance_is_over():
            try:
                await self.stop()
            except BaseException:
                # It goes on running, and the next poll tries again.
                self._own_reason = None
                raise
            return 0
        if status is not None:
            self._ending = self._ending or ending or self.ending()
        elif self.answers():
            self._alive_at = self._desk.now()
            # Of a server that is still starting, the ledger takes no notice.
            self._desk.sighted(self._key, self._alive_at)
        return status

    # The end -----------------------------------------------------------------------------------------

    async def stop(self, now: bool = False) -> None:
        """Stop the server, and remember when it had stopped."""
        try:
            await finished(super().stop(now=now))
        finally:
            # A spawner that clears away what it found dead stops nothing that ran.
            if not _IN_POLL.get():
                self._stopped_at = self._desk.now()
                self._why_stopped = why_stopped(self.user.name)

    async def run_post_stop_hook(self) -> None:
        """Close the server's lease, then run the hook that the configuration may have."""
        try:
            await self._close()
        finally:
            self.forget_clean_up()
            await finished(super().run_post_stop_hook())

    # State -------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return the spawner's state with the lease's number."""
        state: dict[str, Any] = super().get_state()
        if self._lease_id is not None:
            state["quota_lease"] = self._lease_id
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the lease of a server that outlived the hub."""
        super().load_state(state)
        self._lease_id = state.get("quota_lease")

    def clear_state(self) -> None:
        """Forget the lease's number. Spawners call this from `poll` too, before the lease is closed."""
        super().clear_state()
        self._lease_id = None

    # Parts -------------------------------------------------------------------------------------------

    async def _admit_or_allow(self) -> tuple[Size, bool]:
        """Return the size that may start, and whether it is a clean-up server."""
        start = self._asked()
        # Of what the ledger says of the account, a hub that may start something without it remembers the last.
        noted = self._with_allowance and start.payer == start.person
        try:
            # What ran without the ledger comes first: it has to be known before anything else is held.
            if self._allowance.used and not await self._allowance.post(self.user.name):
                log.warning("Something of what %s ran without the ledger is still unwritten.", self.user.name)
            started = await self._desk.admit(start)
        except LedgerDownError:
            return await self._allow()
        except Refused as refused:
            if noted:
                await self._allowance.refused(start.person, refused.refusal)
            raise
        self._lease_id = started.lease_id
        clean_up = started.label == CLEAN_UP
        if noted:
            await self._allowance.admitted(start.person, clean_up=clean_up)
        return started.size, clean_up

    def _asked(self) -> Start:
        """Return what the ledger is asked about.

        Raises:
            Refused: it is asked for with options that there are not, or the tiers cannot be read.
        """
        row, options = self._user_row, self.user_options or _NO_OPTIONS
        name = row.name
        # What else there is to choose, a form of the configuration's or the spawner's own understands.
        if not self.quota_options.issuperset(options) and not self.options_form:
            raise unknown_options(options, self.quota_options)
        return Start(
            person=name,
            payer=options.get(ACCOUNT, name),
            key=server_key(name, *self._server_and_hub),
            tiers=self._tiers_file,
            groups=groups_of(row),
            claims=self._claims,
            size=options.get(SIZE),
        )

    async def _allow(self) -> tuple[Size, bool]:
        """Allow a start without the ledger, within what the tiers file says of that and what the ledger said last.

        Returns:
            The size that may start, and whether it is a clean-up server.

        Raises:
            Refused: nothing is allowed, or no more than was started already.
        """
        down = Refused(limit="unavailable", message=LEDGER_DOWN)
        if not self._with_allowance:
            raise down
        name, tiers, options = self.user.name, self._tiers(), self.user_options or {}
        # Nobody can say now which other accounts or tiers are theirs.
        if options.get(ACCOUNT, name) != name:
            raise down
        tier = tiers.tier_for(self._groups(), self._claims)
        offer = offer_without_ledger(tiers, tier, await self._allowance.said(name))
        size = offer.size(options.get(SIZE), tiers.ask)
        self._allowed = await self._allowance.allow(
            tiers, person=name, key=self._key, tier=tier, size=size, label=offer.label(size)
        )
        if self._allowed is None:
            raise down
        return size, offer.clean_up

    async def _allowance_is_over(self) -> bool:
        """Return whether the server has run for as long as it may without the ledger."""
        # A stop asks whether the server still runs, so it comes by here again.
        if self._own_reason is not None or self._stopped_at is not None or self._lease_id is not None:
            return False
        allowed = await self._allowance.running(self._key)
        if allowed is None or allowed.started_at is None or self._desk.now() < allowed.stop_at:
            return False
        log.warning("%s ran for as long as it may without the ledger.", self._key)
        self._own_reason = (_ALLOWANCE_OVER, "longest-session")
        return True

    def _unanswered(self, died: Ending) -> tuple[str, EndKind]:
        """Return why a server has ended from which the hub never heard: what the machinery knows better, first."""
        return (NO_ANSWER, "failed") if died.kind == "ended" else (died.reason, died.kind)

    async def _close(self) -> None:
        died = self._ending or Ending(ENDED, "ended")
        if self._lease_id is None and (allowed := await self._allowance.running(self._key)) is not None:
            # The ledger does not know of it: its end is noted beside its begin, and both are posted.
            reason, kind = self._own_reason or self._why_stopped
            if self._stopped_at is None:
                reason, kind = died.reason, died.kind
            at = self._stopped_at or died.at or self._alive_at or allowed.started_at or self._desk.now()
            if not self._answered:
                at, reason, kind = allowed.started_at or at, *self._unanswered(died)
            await self._allowance.end(allowed.id, at, reason=reason, kind=kind)
            return
        lease_id, key, alive, stopped = self._lease_id, self._key, self._alive_at, self._stopped_at
        asked = self._desk.now()
        reason, kind = self._why_stopped
        unanswered = None if self._answered else self._unanswered(died)

        def act(ledger: Ledger) -> None:
            # Without a number (a spawner forgets its state when it finds its server dead) the key says
            # which lease it is: at most one is open.
            lease = ledger.open_lease(key) if lease_id is None else ledger.lease(lease_id)
            if lease is None or not lease.is_open or lease.admitted_at > asked:
                return
            if lease.started_at is None:
                ledger.close(lease.id, reason=NOT_STARTED, kind="failed")
            elif unanswered is not None:
                # Nobody could use it, so nobody pays for it.
                reason_then, kind_then = unanswered
                ledger.close(lease.id, reason=reason_then, kind=kind_then, at=lease.started_at)
            elif stopped is not None:
                ledger.close(lease.id, reason=reason, kind=kind, at=stopped)
            else:
                sights = [at for at in (alive, lease.last_alive) if at is not None]
                ledger.close(lease.id, reason=died.reason, kind=died.kind, at=died.at or max(sights))

        await self._desk.settle(key, act)
