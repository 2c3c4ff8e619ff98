"""What the portal says about accounts: it reads the ledger and the tiers, and decides what is shown.

Nothing here writes.
"""

from __future__ import annotations

from datetime import datetime

from hubquota.models.ledger import Account, Entry, Lease, Refused, UnknownAccountError
from hubquota.models.money import price_of
from hubquota.models.reading import AccountQuery
from hubquota.models.tiers import Tiers
from hubquota.services.describe import SizeRow, size_rows, sizes_for

from romanhub.portal.answers import DirectoryModel, DirectoryRowModel, allocation_model
from romanhub.portal.auth import Visitor
from romanhub.portal.desk import Desk
from romanhub.portal.models import (
    AccountModel,
    BalanceModel,
    EntryModel,
    MeModel,
    RunningModel,
    SessionModel,
    StatementModel,
    balance_model,
)
from romanhub.portal.views import AccountPage, Since, history_rows


class Accounts:
    """Answers questions about accounts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ledger = desk.ledger
        self._ask = desk.ask

    @property
    def tiers(self) -> Tiers:
        """What the tiers file says now."""
        return self._desk.tiers

    async def ensure_up(self) -> None:
        """Raise LedgerUnavailableError unless the ledger can be read."""
        await self._ask(lambda: self._ledger.accounts(limit=1))

    async def me(self, visitor: Visitor) -> MeModel:
        """Return who `visitor` is and what they have; raises LedgerUnavailableError."""

        def read() -> tuple[str, BalanceModel | None]:
            account = self._ledger.account(visitor.name)
            # A project of the visitor's name is not theirs.
            if account is None or account.kind != "user":
                return self.tiers.tier_for(visitor.groups), None
            return self.tiers.largest(account.tiers), balance_model(self._ledger.balance(visitor.name))

        tier, balance = await self._ask(read)
        return MeModel(name=visitor.name, tier=tier, admin=visitor.admin, balance=balance)

    async def statement(self, name: str, *, limit: int, before: int | None = None) -> StatementModel:
        """Return an account's story, newest first: `limit` lines of its journal from before line `before`.

        Raises UnknownAccountError if there is no account of that name, and LedgerUnavailableError.
        """
        return await self._ask(lambda: self._read_statement(name, limit=limit, before=before))

    async def directory(self, query: AccountQuery, *, after: str | None, limit: int) -> DirectoryModel:
        """Return a page of the accounts that `query` finds.

        Raises PortalError where `after` is not of that query, and LedgerUnavailableError.
        """
        found = await self._ask(lambda: self._ledger.directory(query, limit=limit, after=after))
        return DirectoryModel(
            accounts=tuple(
                DirectoryRowModel(
                    account=self._account(row.summary.account),
                    balance=balance_model(row.summary.balance),
                    running=row.summary.open_leases,
                    state=row.state,
                    ends=row.ends,
                )
                for row in found.rows
            ),
            next_after=found.next_after,
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
                at=self._desk.clock(),
                sizes=_sizes(tiers, tier, tiers.tiers[tier].budget_units),
            )

    async def page_of(self, name: str, *, lines: int, before: int | None) -> AccountPage:
        """Return what an account's page shows to whoever runs the platform.

        Raises UnknownAccountError if there is no account of that name, and LedgerUnavailableError.
        """
        return await self._page(name, lines=lines, before=before, own=False)

    def _sizes_of(self, name: str, available: int) -> tuple[SizeRow, ...]:
        """Return what the owner can start now, overrides and grace included; nothing where nothing can be."""
        try:
            entitlement = self._ledger.entitlement(self.tiers, name)
        except Refused:
            return ()
        return tuple(size_rows(entitlement.sizes(self.tiers), entitlement.offered.default_size, available))

    async def _page(self, name: str, *, lines: int, before: int | None, own: bool) -> AccountPage:
        def read() -> AccountPage:
            statement = self._read_statement(name, limit=1, before=None)
            if own and statement.account.kind != "user":
                # A project of the visitor's name is not theirs.
                raise UnknownAccountError(name)
            history = self._desk.histories.history(name, limit=lines, before=before)
            tiers, now = self.tiers, self._desk.clock()
            return AccountPage(
                name=name,
                own=own,
                tier_name=statement.account.tier,
                tiers=tiers,
                at=now,
                statement=statement,
                before=before,
                since=self._since(name),
                sizes=self._sizes_of(name, statement.balance.available),
                history=tuple(history_rows(history, now)),
                next_before=history.next_before,
                allocations=tuple(allocation_model(one, tiers, now) for one in self._ledger.allocations(name)),
                explanation=self._ledger.explain(name),
                burn=self._desk.histories.burn_down(name),
            )

        return await self._ask(read)

    def _read_statement(self, name: str, *, limit: int, before: int | None) -> StatementModel:
        found = self._ledger.statement(name, limit, before)
        now = self._desk.clock()
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
            balance=balance_model(found.balance),
            running=tuple(_running(lease, now) for lease in found.running),
            entries=tuple(_entry(entry, session(entry)) for entry in found.entries),
            next_before=found.next_before,
        )

    def _account(self, account: Account) -> AccountModel:
        tier = self.tiers.largest(account.tiers)
        return AccountModel(name=account.name, kind=account.kind, tier=tier, opened_at=account.created_at)

    def _since(self, name: str) -> Since | None:
        found = self._desk.histories.last_added(name)
        if found is None:
            return None
        entry = found.entry
        return Since(kind=entry.kind, at=entry.at, balance=entry.balance_after, charged=found.taken_since)


def _sizes(tiers: Tiers, tier: str, available: int) -> tuple[SizeRow, ...]:
    return tuple(sizes_for(tiers, tier, available)) if tier in tiers.tiers else ()


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
