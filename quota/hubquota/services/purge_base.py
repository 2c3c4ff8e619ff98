"""What the parts of the purge share: the settings, the adapters, and who may do what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Self

from sqlalchemy import Connection, Engine

from hubquota.models.purge import Item, PurgeError
from hubquota.models.purge_settings import PurgeSettings
from hubquota.purge.adapter import Adapter
from hubquota.purge.archive import Archives, Progress
from hubquota.services.base import Service, utc_now
from hubquota.services.purge_register import PurgeRegister
from hubquota.storage import purge, purge_keep


def nothing(_what: object) -> None:
    """Tell nobody."""


class PurgeService(PurgeRegister):
    """A part of the purge."""

    def __init__(
        self,
        engine: Engine,
        settings: PurgeSettings,
        adapters: Mapping[str, Adapter],
        graces: Mapping[str, int],
        clock: Callable[[], datetime] = utc_now,
        *,
        progress: Progress = nothing,
        boundary: Callable[[str], None] = nothing,
    ) -> None:
        """Purge what adapters find.

        Args:
            engine: from `hubquota.storage.make_engine`.
            settings: when, how much and where to.
            adapters: from `hubquota.purge.adapter.load_adapters`, in the order in which things are taken.
            graces: days of grace by tier. Accounts with allocations of other tiers are never purged.
            clock: returns the time now, with its time zone.
            progress: is told of bytes as they are archived, verified, deleted and restored.
            boundary: is told of every boundary between what is done and what is recorded.
        """
        super().__init__(engine, clock)
        self._settings, self._adapters, self._graces = settings, adapters, graces
        self._archives = Archives(settings.archive, compress=settings.compress)
        self._progress, self._boundary = progress, boundary

    @classmethod
    def reviewing(cls, other: Service, settings: PurgeSettings, graces: Mapping[str, int]) -> Self:
        """Return this part for those who only review plans, on the database and the clock of another.

        It has no adapters, so it can look at no thing and take none: that is left to the command.
        """
        return cls(other._engine, settings, {}, graces, other._clock)

    # Parts -------------------------------------------------------------------------------------------

    def _adapter(self, item: Item) -> Adapter:
        found = self._adapters.get(item.adapter)
        if found is None:
            raise PurgeError(
                f"The settings have no adapter '{item.adapter}', which has taken {item.name} of {item.account}. "
                "Put it back into the settings."
            )
        return found

    def _keep(self, connection: Connection, item: Item) -> str | None:
        """Return why a thing is to be left alone, as far as the ledger knows."""
        if item.reason is not None:
            return item.reason
        if (closed := purge.closed_reason(connection, item.plan)) is not None:
            return closed
        if (back := self._come_back(connection, item)) is not None:
            return back
        now = self._now()
        kept = purge_keep.reason_to_keep(connection, item.account_id, item.account, self._graces, now)
        return kept or None

    def _come_back(self, connection: Connection, item: Item) -> str | None:
        """Return how a thing's account has come back since the plan was made; None where it has not."""
        if purge_keep.newest_allocation(connection, item.account_id) == item.allocation:
            return None
        return f"{item.account} was granted an allocation since the plan was made"
