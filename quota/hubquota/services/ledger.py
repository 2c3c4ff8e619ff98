"""The ledger: who may start what, what it has cost, and why.

Every method is one transaction. Nothing that a method decided on can have changed when it writes: on
SQLite the transaction holds the write lock from its first statement, on PostgreSQL the account's row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine

from hubquota.models.ledger import (
    Account,
    AccountSummary,
    Balance,
    ConflictingKeyError,
    Entry,
    EntryKind,
    Lease,
    LeaseStartedError,
    Limit,
    Mismatch,
    Refused,
    Statement,
    UnknownAccountError,
    UnknownLeaseError,
)
from hubquota.models.money import format_credits, format_price, price_of
from hubquota.models.words import duration_text
from hubquota.storage import store
from hubquota.storage.engine import decision, reading

#: An admission needs this many seconds of running to be affordable, unless the caller asks for another.
MINIMUM_SECONDS = 600


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


class Ledger:
    """The ledger in one database. Threads may share it; every process has its own."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        """Use a database that `hubquota.storage.migrate` has set up.

        Args:
            engine: from `hubquota.storage.make_engine`.
            clock: returns the time now, with its time zone.
        """
        self._engine = engine
        self._clock = clock

    # Accounts ----------------------------------------------------------------------------------------

    def open_account(
        self, name: str, tier_name: str, budget_units: int, *, actor: str, kind: str = "user"
    ) -> Account:
        """Return the account of that name; if there is none, open one and grant it the budget.

        An account that exists is returned as it is: neither its tier nor its balance changes.

        Args:
            name: the account's name; for a user, the name on the hub.
            tier_name: the tier of a new account.
            budget_units: what a new account is granted, in units.
            actor: who opens it.
            kind: what sort of account a new one is.

        Raises:
            ValueError: the budget is below zero.
        """
        if budget_units < 0:
            raise ValueError("A budget cannot be below zero.")
        found = self.account(name)
        if found is not None:
            return found
        with decision(self._engine) as connection:
            now = self._now()
            opened = store.add_account(connection, name=name, kind=kind, tier=tier_name, now=now)
            account = _known_account(connection, name, lock=True)
            if opened and budget_units:
                store.add_entry(
                    connection,
                    account,
                    at=now,
                    kind="grant",
                    amount=budget_units,
                    lease_id=None,
                    actor=actor,
                    reason=f"Budget of the tier {tier_name}, granted when the account was opened.",
                    key=f"opening:{account.id}",
                )
            return _known_account(connection, name)

    def account(self, name: str) -> Account | None:
        """Return the account of that name, or None."""
        with reading(self._engine) as connection:
            return store.find_account(connection, name)

    def accounts(self, search: str = "", limit: int = 100, after: str | None = None) -> list[AccountSummary]:
        """Return accounts in the order of their names.

        Args:
            search: only accounts whose name contains this, in any case.
            limit: how many at most.
            after: only names after this one: the last name of the page before.
        """
        with reading(self._engine) as connection:
            rows = store.list_accounts(connection, search=search, limit=limit, after=after, now=self._now())
        return [
            AccountSummary(account, Balance(account.balance, accrued, held), number)
            for account, accrued, held, number in rows
        ]

    def balance(self, name: str) -> Balance:
        """Return what the account has, with what runs now taken into account.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            return self._balance(connection, _known_account(connection, name), self._now())

    def statement(self, name: str, limit: int = 50, before: int | None = None) -> Statement:
        """Return the account's story.

        Args:
            name: the account's name.
            limit: how many ended leases and how many lines of the journal, each, at most.
            before: only lines of the journal older than the one of this number.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            account = _known_account(connection, name)
            entries = store.list_entries(connection, account.id, limit=limit + 1, before=before)
            shown = entries[:limit]
            return Statement(
                account=account,
                balance=self._balance(connection, account, self._now()),
                running=tuple(store.list_open_leases(connection, kind=None, owner=name)),
                ended=tuple(store.list_ended_leases(connection, account.id, limit)),
                entries=tuple(shown),
                next_before=shown[-1].id if len(entries) > limit and shown else None,
            )

    # Leases ------------------------------------------------------------------------------------------

    def admit(
        self,
        account: str,
        *,
        kind: str,
        key: str,
        label: str,
        rate: int,
        minimum_seconds: int = MINIMUM_SECONDS,
        limit: int | None = None,
        ask: str = "",
        settle_leftover: bool = False,
    ) -> Lease:
        """Decide whether something may start, and if so hold what its first minutes cost.

        What is available is the posted balance less, for each open lease, what it has accrued or what
        its own admission set aside, whichever is more. So of any number of admissions at once, only as
        many pass as the balance has room for.

        Args:
            account: the account that pays.
            kind: what runs, such as "server".
            key: which one, such as "server:ada/". One open lease at most has a key.
            label: what people read, such as "Medium server".
            rate: units a second while it runs.
            minimum_seconds: how many seconds of running have to be affordable.
            limit: how many open leases of this kind the account may have; None for any number.
            ask: how to ask for more: the last sentence of a refusal.
            settle_leftover: whether the caller knows that nothing runs under the key. An open lease that
                has it is then a leftover of a crash, and is closed at the time it was last seen.

        Raises:
            UnknownAccountError: there is no account of that name.
            Refused: the balance does not have room for it, there are as many as allowed, or one with
                this key runs already.
            ValueError: the rate or the minimum is below zero.
        """
        if rate < 0 or minimum_seconds < 0:
            raise ValueError("Neither a rate nor a minimum can be below zero.")
        with decision(self._engine) as connection:
            owner = _known_account(connection, account, lock=True)
            now = self._now()
            holder = store.find_open_lease(connection, key)
            if holder is not None and settle_leftover and holder.account == account:
                owner = self._settle_leftover(connection, owner, holder)
                holder = None
            refused = self._against(connection, owner, holder, kind, label, rate, minimum_seconds, limit)
            if refused is None:
                return store.add_lease(
                    connection,
                    owner,
                    kind=kind,
                    key=key,
                    label=label,
                    rate=rate,
                    set_aside=rate * minimum_seconds,
                    now=now,
                )
        # Raised here and not inside, where it would undo the closing of a leftover.
        name, message = refused
        raise Refused(limit=name, message=f"{message} {ask}".strip())

    def begin(self, lease_id: int, at: datetime | None = None) -> Lease:
        """Note that what the lease is for runs; it is charged from here. Once begun, nothing changes.

        Args:
            lease_id: the lease's number.
            at: since when it runs; now if not given. Kept between its admission and now.

        Raises:
            UnknownLeaseError: there is no such lease.
        """
        with decision(self._engine) as connection:
            _, lease = self._locked(connection, lease_id)
            if lease.started_at is None and lease.ended_at is None:
                started = self._between(lease.admitted_at, at)
                store.set_started(connection, lease_id, started)
            return _known_lease(connection, lease_id)

    def close(self, lease_id: int, *, reason: str, at: datetime | None = None, actor: str = "hubquota") -> Lease:
        """End a lease and post its charge: its rate times the whole seconds that it ran.

        A lease that never began ends without a charge. A lease that has ended stays as it is.

        Args:
            lease_id: the lease's number.
            reason: why it ended. A reason that `announce_stop` noted before stands instead of this one.
            at: until when it ran; now if not given. Kept between its begin and now.
            actor: who ended it.

        Raises:
            UnknownLeaseError: there is no such lease.
        """
        with decision(self._engine) as connection:
            owner, lease = self._locked(connection, lease_id)
            if lease.is_open:
                self._end(connection, owner, lease, at=at, reason=lease.reason or reason, actor=actor)
            return _known_lease(connection, lease_id)

    def cancel(self, lease_id: int, reason: str) -> Lease:
        """End a lease that never began, without a charge. A lease that has ended stays as it is.

        Raises:
            UnknownLeaseError: there is no such lease.
            LeaseStartedError: it has begun; close it instead.
        """
        with decision(self._engine) as connection:
            owner, lease = self._locked(connection, lease_id)
            if lease.is_open:
                if lease.started_at is not None:
                    raise LeaseStartedError(f"Lease {lease_id} has begun: close it, with its charge.")
                self._end(connection, owner, lease, at=None, reason=reason, actor="hubquota")
            return _known_lease(connection, lease_id)

    def seen(self, keys: Iterable[str], at: datetime | None = None) -> int:
        """Note that what these keys' open leases are for was seen running. Return how many are noted.

        Args:
            keys: the leases' keys. Those without an open lease that has begun are passed over.
            at: when they were seen; now if not given. An earlier sight than is noted changes nothing.
        """
        wanted = sorted(set(keys))
        if not wanted:
            return 0
        with decision(self._engine) as connection:
            now = self._now()
            moment = now if at is None else min(store.seconds(at), now)
            return store.set_seen(connection, wanted, moment)

    def announce_stop(self, lease_id: int, reason: str | None) -> bool:
        """Note why an open lease is about to be stopped, or with None, that it is not after all.

        Whoever closes the lease need not know the reason then. Return False if it has ended.
        """
        with decision(self._engine) as connection:
            return store.set_reason(connection, lease_id, reason)

    def lease(self, lease_id: int) -> Lease | None:
        """Return the lease of that number, or None."""
        with reading(self._engine) as connection:
            return store.find_lease(connection, lease_id)

    def open_lease(self, key: str) -> Lease | None:
        """Return the open lease that has the key, or None."""
        with reading(self._engine) as connection:
            return store.find_open_lease(connection, key)

    def open_leases(self, kind: str | None = None, account: str | None = None) -> list[Lease]:
        """Return open leases in the order of their admission: all, of one kind, of one account."""
        with reading(self._engine) as connection:
            return store.list_open_leases(connection, kind=kind, owner=account)

    # The journal -------------------------------------------------------------------------------------

    def grant(self, name: str, units: int, *, actor: str, reason: str, key: str) -> Entry:
        """Add credits to an account.

        Args:
            name: the account's name.
            units: how much, in units, above zero.
            actor: who grants them.
            reason: why.
            key: says which grant this is. A second call with the same key, account and amount returns
                the first one's entry and changes nothing.

        Raises:
            UnknownAccountError: there is no account of that name.
            ConflictingKeyError: the key stands for another grant already.
            ValueError: the amount is not above zero.
        """
        if units <= 0:
            raise ValueError("A grant is above zero; post a correction to take something back.")
        return self._post(name, "grant", units, actor=actor, reason=reason, key=f"grant:{key}")

    def correct(self, name: str, units: int, *, actor: str, reason: str, key: str) -> Entry:
        """Put right a mistake in the journal, whose lines cannot be changed.

        Args:
            name: the account's name.
            units: what to add, in units; below zero to take away.
            actor: who corrects it.
            reason: what was wrong.
            key: as for `grant`.

        Raises:
            UnknownAccountError: there is no account of that name.
            ConflictingKeyError: the key stands for another correction already.
            ValueError: the amount is zero.
        """
        if not units:
            raise ValueError("A correction of nothing corrects nothing.")
        return self._post(name, "correction", units, actor=actor, reason=reason, key=f"correction:{key}")

    def verify(self) -> list[Mismatch]:
        """Recompute every balance and every charge from the journal. Return what does not add up."""
        with reading(self._engine) as connection:
            return store.mismatches(connection)

    # Parts of a transaction --------------------------------------------------------------------------

    def _now(self) -> int:
        return store.seconds(self._clock())

    def _between(self, earliest: datetime, at: datetime | None) -> int:
        # A clock that was set back, or another machine's, must not make a charge negative or too long.
        now = self._now()
        wanted = now if at is None else min(store.seconds(at), now)
        return max(store.seconds(earliest), wanted)

    def _balance(self, connection: Connection, account: Account, now: int) -> Balance:
        accrued, held = store.open_totals(connection, account.id, now)
        return Balance(posted=account.balance, accrued=accrued, set_aside=held)

    def _locked(self, connection: Connection, lease_id: int) -> tuple[Account, Lease]:
        # Always the account first and then its lease, so that no two transactions wait for each other.
        owner = _known_account(connection, _known_lease(connection, lease_id).account, lock=True)
        lease = store.find_lease(connection, lease_id, lock=True)
        if lease is None:
            raise UnknownLeaseError(f"There is no lease {lease_id}.")
        return owner, lease

    def _against(
        self,
        connection: Connection,
        owner: Account,
        holder: Lease | None,
        kind: str,
        label: str,
        rate: int,
        minimum_seconds: int,
        limit: int | None,
    ) -> tuple[Limit, str] | None:
        """Return what speaks against an admission, or None."""
        if holder is not None:
            return "count", f"{holder.label} runs already, as {holder.key}."
        if limit is not None:
            number = store.count_open(connection, owner.id, kind)
            if number >= limit:
                return (
                    "count",
                    f"{owner.name} has {number} open of the kind {kind}; the limit is {limit}.",
                )
        balance = self._balance(connection, owner, self._now())
        if rate and rate * minimum_seconds > balance.available:
            return "budget", _short_of(owner.name, label, rate, minimum_seconds, balance)
        return None

    def _settle_leftover(self, connection: Connection, owner: Account, leftover: Lease) -> Account:
        locked = store.find_lease(connection, leftover.id, lock=True)
        if locked is not None and locked.is_open:
            self._end(
                connection,
                owner,
                locked,
                at=locked.last_alive,
                reason="Nothing ran any more when the next start was asked for; closed when last seen.",
                actor="hubquota",
            )
        return _known_account(connection, owner.name)

    def _end(
        self,
        connection: Connection,
        owner: Account,
        lease: Lease,
        *,
        at: datetime | None,
        reason: str,
        actor: str,
    ) -> None:
        ended = self._between(lease.started_at or lease.admitted_at, at)
        ran = 0 if lease.started_at is None else ended - store.seconds(lease.started_at)
        charge = lease.rate * ran
        store.end_lease(connection, lease.id, at=ended, charged=charge, reason=reason)
        if charge:
            store.add_entry(
                connection,
                owner,
                at=self._now(),
                kind="charge",
                amount=-charge,
                lease_id=lease.id,
                actor=actor,
                reason=f"{lease.label}, {ran} s at {format_price(price_of(lease.rate))} credits an hour",
                key=f"charge:{lease.id}",
            )

    def _post(self, name: str, kind: EntryKind, units: int, *, actor: str, reason: str, key: str) -> Entry:
        with decision(self._engine) as connection:
            owner = _known_account(connection, name, lock=True)
            before = store.find_entry(connection, key)
            if before is not None:
                if before.account != name or before.amount != units:
                    raise ConflictingKeyError(
                        f"The key '{key}' stands for {format_credits(before.amount)} credits to "
                        f"{before.account} already. Choose another key."
                    )
                return before
            return store.add_entry(
                connection,
                owner,
                at=self._now(),
                kind=kind,
                amount=units,
                lease_id=None,
                actor=actor,
                reason=reason,
                key=key,
            )


def _known_account(connection: Connection, name: str, *, lock: bool = False) -> Account:
    account = store.find_account(connection, name, lock=lock)
    if account is None:
        raise UnknownAccountError(f"There is no account '{name}'.")
    return account


def _known_lease(connection: Connection, lease_id: int) -> Lease:
    lease = store.find_lease(connection, lease_id)
    if lease is None:
        raise UnknownLeaseError(f"There is no lease {lease_id}.")
    return lease


def _short_of(account: str, label: str, rate: int, minimum_seconds: int, balance: Balance) -> str:
    needed = format_credits(rate * minimum_seconds, rounding="up")
    taken = format_credits(balance.accrued + balance.set_aside, rounding="up")
    available, posted = format_credits(balance.available), format_credits(balance.posted)
    return (
        f"Not enough credits: {label} costs {format_price(price_of(rate))} credits an hour and needs "
        f"{needed} for its first {duration_text(minimum_seconds)}, but {account} has {available} available "
        f"({posted} on the account, {taken} of it taken by what runs now)."
    )
