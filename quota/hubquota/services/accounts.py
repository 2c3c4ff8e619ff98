"""Accounts: what there is to read about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from hubquota.models.ledger import (
    Account,
    AccountKind,
    AccountSummary,
    Allocation,
    Balance,
    EntryKind,
    Explanation,
    Line,
    Member,
    Mismatch,
    Statement,
    UnknownAllocationError,
)
from hubquota.models.reading import AccountPage, AccountQuery, AccountRow
from hubquota.models.words import number_text
from hubquota.services.balance import balance_of, split_balance
from hubquota.services.base import Service, known
from hubquota.services.outlook import exhaustion
from hubquota.storage import accounts, allocations, audit, burden, directory, journal, leases
from hubquota.storage.accounts import Owner
from hubquota.storage.engine import reading
from hubquota.storage.times import moment

#: How an explanation tells the lines of each kind.
_TOLD: dict[EntryKind, str] = {
    "grant": "granted",
    "supplement": "added",
    "transfer-in": "transferred to it",
    "transfer-out": "transferred from it",
    "charge": "charged",
    "correction": "corrected",
    "expiry": "lapsed",
}


class Accounts(Service):
    """Reads accounts."""

    def account(self, name: str) -> Account | None:
        """Return the account of that name, or None."""
        with self._reading_of(name) as connection:
            owner = accounts.find(connection, name)
            return None if owner is None else accounts.view(connection, owner, self._now())

    def members(self, project: str, *, former: bool = False) -> list[Member]:
        """Return who is in a project, and with `former` who was, by name.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            return accounts.members(connection, known(connection, project).id, former=former)

    def drawable(self, person: str) -> list[AccountSummary]:
        """Return the accounts that somebody may draw on: their own, if there is one, then their projects."""
        with reading(self._engine) as connection:
            names = [owner.name for owner in accounts.drawable(connection, person)]
        with self._reading_of(*names) as connection:
            return self._summaries(connection, list(accounts.drawable(connection, person)))

    def accounts(
        self, search: str = "", limit: int = 100, after: str | None = None, *, kind: AccountKind | None = None
    ) -> list[AccountSummary]:
        """Return accounts in the order of their names; with a search, of the part that is found.

        Args:
            search: only accounts whose name contains this, in any case.
            limit: how many at most.
            after: only those after this one: the last name of the page before, of the same search.
            kind: only accounts of users, or of projects.

        Raises:
            ValueError: `after` is no name that the search finds.
        """
        with reading(self._engine) as connection:
            query = AccountQuery(search=search, kind=kind)
            found = directory.page(connection, query, after=after, limit=limit, now=self._now())
            return self._summaries(connection, [owner for owner, _ in found])

    def directory(self, query: AccountQuery, *, limit: int = 100, after: str | None = None) -> AccountPage:
        """Return a page of the accounts that a query finds, in its order. Balances are read for the page only.

        Args:
            query: which, and in which order.
            limit: how many at most.
            after: `next_after` of the page before.

        Raises:
            ValueError: `after` is not of this query's order.
        """
        with reading(self._engine) as connection:
            now = self._now()
            found = directory.page(connection, query, after=after, limit=limit + 1, now=now)
            shown = found[:limit]
            rows = self._rows(connection, [owner for owner, _ in shown], now)
        return AccountPage(tuple(rows), shown[-1][1] if len(found) > limit and shown else None)

    def rows_of(self, names: Sequence[str]) -> list[AccountRow]:
        """Return the rows of these accounts, as in the list; names of which there is none are left out."""
        with reading(self._engine) as connection:
            found = [accounts.find(connection, name) for name in names]
            return self._rows(connection, [owner for owner in found if owner is not None], self._now())

    def balance(self, name: str) -> Balance:
        """Return what the account can spend, with what runs now taken into account.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with self._reading_of(name) as connection:
            return self._balance(connection, known(connection, name).id, self._now())

    def allocation(self, allocation_id: int) -> Allocation:
        """Return the allocation of that number.

        Raises:
            UnknownAllocationError: there is none.
        """
        with reading(self._engine) as connection:
            found = allocations.find(connection, allocation_id, self._now())
        if found is None:
            raise UnknownAllocationError(f"There is no allocation {allocation_id}.")
        return found

    def allocations(self, name: str, *, lapsed: bool = False) -> list[Allocation]:
        """Return an account's allocations in the order in which they are spent; with `lapsed`, all.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with self._reading_of(name) as connection:
            owner = known(connection, name)
            return allocations.of_account(connection, owner.id, self._now(), lapsed=lapsed)

    def statement(self, name: str, limit: int = 50, before: int | None = None) -> Statement:
        """Return the account's story.

        Args:
            name: the account's name.
            limit: how many ended leases and how many lines of the journal, each, at most.
            before: only lines of the journal older than the one of this number.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with self._reading_of(name) as connection:
            owner, now = known(connection, name), self._now()
            entries = journal.page(connection, owner.id, limit=limit + 1, before=before)
            shown = entries[:limit]
            return Statement(
                account=accounts.view(connection, owner, now),
                balance=self._balance(connection, owner.id, now),
                allocations=tuple(allocations.of_account(connection, owner.id, now, lapsed=False)),
                running=tuple(leases.list_open(connection, now, kind=None, owner=name, person=None)),
                ended=tuple(leases.list_ended(connection, owner.id, limit, now)),
                entries=tuple(shown),
                next_before=shown[-1].id if len(entries) > limit and shown else None,
            )

    def exhausts_at(self, name: str, now: datetime | None = None) -> datetime | None:
        """Return when an account's credits end if what runs goes on as it does; None for never.

        It is computed from the balances, the allocations' dates and the rates, so it stays right until
        one of them changes, and nothing has to be polled. It is the first second that cannot be paid.

        Args:
            name: the account's name.
            now: from when on to look; the time now if not given.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        at = self._now() if now is None else int(now.timestamp())
        with self._reading_of(name) as connection:
            return moment(exhaustion(connection, known(connection, name).id, at))

    def explain(self, name: str) -> Explanation:
        """Return why a balance is what it is: lines whose amounts add up to what is available.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with self._reading_of(name) as connection:
            owner, now = known(connection, name), self._now()
            sums = journal.sums(connection, owner.id)
            found = allocations.of_account(connection, owner.id, now, lapsed=True)
            balance = self._balance(connection, owner.id, now)
        lines: list[Line] = []
        for allocation in found:
            title = f"Allocation {allocation.id} ({allocation.tier})"
            if allocation.lapsed_at is not None or not allocation.pays_at(moment(now)):
                lines.append(Line(f"{title} {_why_not(allocation, moment(now))}, so it does not count", 0))
                continue
            for kind, told in _TOLD.items():
                if (allocation.id, kind) in sums:
                    amount, count = sums[allocation.id, kind]
                    lines.append(Line(f"{title}: {told}, in {number_text(count, 'line')}", amount))
        lines.append(Line("Run up by what runs now and not charged yet", -balance.accrued))
        lines.append(Line("Held for what runs now", -balance.set_aside))
        return Explanation(name, tuple(lines), balance.available)

    #: How many steps `verify` has.
    checks = len(audit.CHECKS)

    def verify(self, done: Callable[[int], object] | None = None) -> list[Mismatch]:
        """Recompute every balance, date, charge and hold. Return what does not add up.

        Args:
            done: is told after each of the `checks` steps that one more is done.
        """
        found: list[Mismatch] = []
        with reading(self._engine) as connection:
            for check in audit.CHECKS:
                found += check(connection)
                if done is not None:
                    done(1)
        return found

    # Parts of a transaction --------------------------------------------------------------------------

    def _balance(self, connection: Connection, account_id: int, now: int) -> Balance:
        pools = allocations.open_pools(connection, account_id, now)
        return balance_of(pools, burden.of_account(connection, account_id, now), now)

    def _rows(self, connection: Connection, owners: Sequence[Owner], now: int) -> list[AccountRow]:
        states = directory.states(connection, [owner.id for owner in owners], now)
        return [
            AccountRow(summary, states[summary.account.id][0], moment(states[summary.account.id][1]))
            for summary in self._summaries(connection, owners)
        ]

    def _summaries(self, connection: Connection, owners: Sequence[Owner]) -> list[AccountSummary]:
        now, ids = self._now(), [owner.id for owner in owners]
        totals = allocations.totals(connection, ids, accounts.pays(now), now)
        running = burden.of_accounts(connection, ids, now)
        found: list[AccountSummary] = []
        for account in accounts.views(connection, owners, now):
            accrued, unheld, number = running.get(account.id, (0, 0, 0))
            balance = split_balance(*totals.get(account.id, (0, 0)), accrued, unheld)
            found.append(AccountSummary(account, balance, number))
        return found


def _why_not(allocation: Allocation, now: datetime) -> str:
    if allocation.revoked_at is not None:
        return f"was revoked on {allocation.revoked_at:%Y-%m-%d}"
    if allocation.end is not None and allocation.end <= now:
        return f"ended on {allocation.end:%Y-%m-%d}"
    if allocation.suspended_at is not None:
        return f"is suspended since {allocation.suspended_at:%Y-%m-%d}"
    return f"begins on {allocation.start:%Y-%m-%d}"
