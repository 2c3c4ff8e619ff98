"""Overrides of a tier's limits, and what somebody is entitled to on an account."""

from __future__ import annotations

from datetime import datetime

from hubquota.models import limit_letters
from hubquota.models.entitlement import Entitlement
from hubquota.models.ledger import ConflictingKeyError, ImpossibleError, UnknownOverrideError
from hubquota.models.letters import Letter
from hubquota.models.overrides import Overridden, Override
from hubquota.models.tiers import Tiers
from hubquota.services.base import Service, known, tell
from hubquota.services.book import Book
from hubquota.services.entitled import Entitled
from hubquota.storage import overrides
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import moment, seconds


class Overrides(Service):
    """Gives another limit than the tier's until a date, and says which limits count."""

    def give_override(
        self,
        account: str,
        limits: Overridden,
        until: datetime,
        *,
        actor: str,
        reason: str,
        key: str,
        person: str | None = None,
    ) -> Override:
        """Give an account, or one person on it, other limits than its tier's, from now until a date.

        A second call with the same key and the same content returns what the first one gave.

        Args:
            account: the account's name.
            limits: the limits; what they leave out stays as the tier has it.
            until: the first moment at which they do not count any more.
            actor: who gives it.
            reason: why.
            key: says which override this is.
            person: whom it is for; everybody who draws on the account if not given.

        Raises:
            UnknownAccountError: there is no account of that name.
            ConflictingKeyError: the key stands for another override already.
            ImpossibleError: the date is past, or there is no reason.
        """
        if not reason.strip():
            raise ImpossibleError("Say why: the reason is what others can judge an override by.")
        with decision(self._engine) as connection:
            book = self._book(connection, account)
            found = overrides.by_key(connection, f"given:{key}")
            if found is not None:
                before = overrides.find(connection, found[0])
                wanted = (account, person, limits, moment(seconds(until)))
                if before is None or (before.account, before.person, before.limits, before.until) != wanted:
                    raise ConflictingKeyError(
                        f"The key '{key}' stands for another override already. Choose another key."
                    )
                return before
            if seconds(until) <= book.now:
                raise ImpossibleError("An override ends in the future; that date is past.")
            number = overrides.add(
                connection,
                book.owner.id,
                person=person,
                limits=limits,
                until=seconds(until),
                actor=actor,
                reason=reason,
                key=f"given:{key}",
                now=book.now,
            )
            given = overrides.find(connection, number)
            assert given is not None
            _tell(book, given, limit_letters.override_given(given), by=actor)
            return given

    def withdraw_override(self, override_id: int, *, actor: str, reason: str) -> Override:
        """End an override before its date. One that is withdrawn already stays as it is.

        Raises:
            UnknownOverrideError: there is no override of that number.
        """
        with decision(self._engine) as connection:
            found = overrides.find(connection, override_id)
            if found is None:
                raise UnknownOverrideError(f"There is no override {override_id}.")
            book = self._book(connection, found.account)
            # Read again: another one may have been faster while this one waited for the account.
            found = overrides.find(connection, override_id)
            if found is not None and found.withdrawn_at is None:
                overrides.add(
                    connection,
                    book.owner.id,
                    person=found.person,
                    withdraws=override_id,
                    actor=actor,
                    reason=reason,
                    key=f"withdrawn:{override_id}",
                    now=book.now,
                )
                if book.now < seconds(found.until):
                    letter = limit_letters.override_withdrawn(found, by=actor, reason=reason)
                    _tell(book, found, letter, by=actor)
                found = overrides.find(connection, override_id)
            assert found is not None
            return found

    def overrides(self, account: str | None = None, *, former: bool = False) -> list[Override]:
        """Return overrides in the order in which they were given: those in force, with `former`, all.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            if account is not None:
                known(connection, account)
            return overrides.of(connection, owner=account, after=None if former else self._now())

    def entitlement(self, tiers: Tiers, account: str, person: str | None = None) -> Entitlement:
        """Return what somebody is entitled to on an account now: limits, grace, suspension.

        Args:
            tiers: what the tiers file says.
            account: the account's name.
            person: who draws on it; its owner if not given.

        Raises:
            UnknownAccountError: there is no account of that name.
            Refused: the account is on a tier that the file no longer has.
        """
        with self._reading_of(account) as connection:
            now, owner = self._now(), known(connection, account)
            return Entitled(connection, [owner], now).of(tiers, owner, person or account)


def _tell(book: Book, one: Override, letter: Letter, *, by: str) -> None:
    tell(book, letter, *([] if one.person is None else [one.person]), besides=by)
