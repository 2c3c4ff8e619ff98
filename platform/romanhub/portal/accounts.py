"""What the portal says about accounts: it reads the ledger and the tiers, and decides what is shown.

The ledger's calls block, so each runs in a thread and within a deadline. Nothing here writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import anyio
import anyio.to_thread
from hubquota.models.ledger import Account, Balance, Entry, Lease, UnknownAccountError
from hubquota.models.money import price_of
from hubquota.models.tiers import Tiers
from hubquota.services.describe import SizeRow, sizes_for
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from sqlalchemy.exc import SQLAlchemyError

from romanhub.portal.auth import Visitor
from romanhub.portal.models import (
    AccountModel,
    AccountRow,
    AccountsModel,
    BalanceModel,
    EntryModel,
    MeModel,
    RunningModel,
    SessionModel,
    StatementModel,
)
from romanhub.portal.views import AccountPage, Since

log = logging.getLogger(__name__)

_Found = TypeVar("_Found")

#: How many lines of the journal are looked through at once, and in all, for the last one that added credits.
_LINES_AT_ONCE = 500
_LINES_IN_ALL = 5_000


class LedgerUnavailableError(Exception):
    """The ledger's database did not answer, or not in time."""


class Accounts:
    """Answers questions about accounts."""

    def __init__(
        self, ledger: Ledger, tiers: TiersFile, *, clock: Callable[[], datetime], deadline: float
    ) -> None:
        """Read `ledger` and `tiers`.

        Args:
            ledger: the ledger, on a database that has been set up.
            tiers: the tiers file.
            clock: gives the present time, with its zone.
            deadline: how long one question may wait for the ledger, in seconds.
        """
        self._ledger = ledger
        self._tiers = tiers
        self._clock = clock
        self._deadline = deadline

    @property
    def tiers(self) -> Tiers:
        """What the tiers file says now."""
        return self._tiers.current()

    async def ensure_up(self) -> None:
        """Raise LedgerUnavailableError unless the ledger can be read."""
        await self._ask(lambda: self._ledger.accounts(limit=1))

    async def me(self, visitor: Visitor) -> MeModel:
        """Return who `visitor` is and what they have; raises LedgerUnavailableError."""

        def read() -> tuple[str, BalanceModel | None]:
            account = self._ledger.account(visitor.name)
            if account is None:
                return self.tiers.tier_for(visitor.groups), None
            return self.tiers.largest(account.tiers), _balance(self._ledger.balance(visitor.name))

        tier, balance = await self._ask(read)
        return MeModel(name=visitor.name, tier=tier, admin=visitor.admin, balance=balance)

    async def statement(self, name: str, *, limit: int, before: int | None = None) -> StatementModel:
        """Return an account's story, newest first: `limit` lines of its journal from before line `before`.

        Raises UnknownAccountError if there is no account of that name, and LedgerUnavailableError.
        """
        return await self._ask(lambda: self._read_statement(name, limit=limit, before=before))

    async def listing(self, *, search: str, after: str | None, limit: int) -> AccountsModel:
        """Return a page of the accounts whose names contain `search`; raises LedgerUnavailableError."""
        # One more than is shown tells whether there is a next page.
        found = await self._ask(lambda: self._ledger.accounts(search, limit + 1, after))
        shown = found[:limit]
        return AccountsModel(
            accounts=tuple(
                AccountRow(
                    account=self._account(row.account), balance=_balance(row.balance), running=row.open_leases
                )
                for row in shown
            ),
            next_after=shown[-1].account.name if len(found) > limit else None,
        )

    async def own_page(self, visitor: Visitor, *, lines: int, before: int | None) -> AccountPage:
        """Return what a person's own page shows, also before they have an account.

        Raises LedgerUnavailableError.
        """
        try:
            return await self._page(visitor.name, lines=lines, before=before, own=True)
        except UnknownAccountError:
            tiers = self.tiers
            tier = tiers.tier_for(visitor.groups)
            return AccountPage(
                name=visitor.name,
                own=True,
                tier_name=tier,
                tiers=tiers,
                at=self._clock(),
                sizes=_sizes(tiers, tier, tiers.tiers[tier].budget_units),
            )

    async def page_of(self, name: str, *, lines: int, before: int | None) -> AccountPage:
        """Return what an account's page shows to whoever runs the platform.

        Raises UnknownAccountError if there is no account of that name, and LedgerUnavailableError.
        """
        return await self._page(name, lines=lines, before=before, own=False)

    async def _page(self, name: str, *, lines: int, before: int | None, own: bool) -> AccountPage:
        def read() -> AccountPage:
            statement = self._read_statement(name, limit=lines, before=before)
            tiers = self.tiers
            return AccountPage(
                name=name,
                own=own,
                tier_name=statement.account.tier,
                tiers=tiers,
                at=self._clock(),
                statement=statement,
                before=before,
                since=self._since(name, statement.balance.posted),
                sizes=_sizes(tiers, statement.account.tier, statement.balance.available),
            )

        return await self._ask(read)

    def _read_statement(self, name: str, *, limit: int, before: int | None) -> StatementModel:
        found = self._ledger.statement(name, limit, before)
        now = self._clock()
        ended = {lease.id: lease for lease in found.ended}

        def session(entry: Entry) -> SessionModel | None:
            if entry.lease_id is None:
                return None
            lease = ended.get(entry.lease_id) or self._ledger.lease(entry.lease_id)
            # A charge for a part of a session says itself which part it is.
            whole = lease is not None and not lease.is_open and entry.amount == -lease.charged
            return _session(lease, now) if lease is not None and whole else None

        return StatementModel(
            account=self._account(found.account),
            balance=_balance(found.balance),
            running=tuple(_running(lease, now) for lease in found.running),
            entries=tuple(_entry(entry, session(entry)) for entry in found.entries),
            next_before=found.next_before,
        )

    def _account(self, account: Account) -> AccountModel:
        tier = self.tiers.largest(account.tiers)
        return AccountModel(name=account.name, kind=account.kind, tier=tier, opened_at=account.created_at)

    def _since(self, name: str, posted: int) -> Since | None:
        """Return the last line that added credits and what has been charged since, or None.

        It is None where no such line is among the newest `_LINES_IN_ALL`.
        """
        before: int | None = None
        for _ in range(_LINES_IN_ALL // _LINES_AT_ONCE):
            found = self._ledger.statement(name, _LINES_AT_ONCE, before)
            for entry in found.entries:
                if entry.amount > 0:
                    return Since(
                        kind=entry.kind,
                        at=entry.at,
                        balance=entry.balance_after,
                        charged=entry.balance_after - posted,
                    )
            if found.next_before is None:
                return None
            before = found.next_before
        return None

    async def _ask(self, question: Callable[[], _Found]) -> _Found:
        try:
            with anyio.fail_after(self._deadline):
                return await anyio.to_thread.run_sync(question, abandon_on_cancel=True)
        except TimeoutError as error:
            log.error("The ledger did not answer within %s s.", self._deadline)
            raise LedgerUnavailableError from error
        except SQLAlchemyError as error:
            log.exception("The ledger could not be read.")
            raise LedgerUnavailableError from error


def _sizes(tiers: Tiers, tier: str, available: int) -> tuple[SizeRow, ...]:
    return tuple(sizes_for(tiers, tier, available)) if tier in tiers.tiers else ()


def _balance(balance: Balance) -> BalanceModel:
    return BalanceModel(
        posted=balance.posted,
        accrued=balance.accrued,
        set_aside=balance.set_aside,
        available=balance.available,
    )


def _running(lease: Lease, now: datetime) -> RunningModel:
    seconds = lease.seconds(now)
    return RunningModel(
        kind=lease.kind,
        key=lease.key,
        label=lease.label,
        price=price_of(lease.rate),
        started_at=lease.started_at,
        seconds=seconds,
        cost=lease.cost(now),
        notice=lease.reason,
    )


def _session(lease: Lease, now: datetime) -> SessionModel:
    return SessionModel(
        kind=lease.kind,
        key=lease.key,
        label=lease.label,
        price=price_of(lease.rate),
        started_at=lease.started_at,
        ended_at=lease.ended_at,
        seconds=lease.seconds(now),
        reason=lease.reason,
    )


def _entry(entry: Entry, session: SessionModel | None) -> EntryModel:
    return EntryModel(
        id=entry.id,
        at=entry.at,
        kind=entry.kind,
        amount=entry.amount,
        balance_after=entry.balance_after,
        actor=entry.actor,
        reason=entry.reason,
        session=session,
    )
