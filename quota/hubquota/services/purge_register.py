"""What is known of purges, and what people say about them; it needs the ledger's database and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from hubquota.models.purge import (
    Act,
    Item,
    Plan,
    PurgeError,
    PurgeEvent,
    PurgeHold,
    Stage,
    UnknownPurgeError,
)
from hubquota.models.requests import Actor, NotAllowedError
from hubquota.services.base import Service, known
from hubquota.storage import accounts, purge, purge_keep
from hubquota.storage.accounts import Owner
from hubquota.storage.engine import decision, reading


class PurgeRegister(Service):
    """Reads plans and what was done under them, and takes holds, cancellations and requests for things."""

    # Reading -----------------------------------------------------------------------------------------

    def plans(self, *, limit: int = 50, before: int | None = None) -> list[Plan]:
        """Return the newest plans first.

        Args:
            limit: how many at most.
            before: only those with a lower number: the last one of the page before.
        """
        with reading(self._engine) as connection:
            return purge.plans(connection, limit=limit, before=before)

    def read(self, plan_id: int) -> tuple[Plan, list[Item]]:
        """Return a plan and what it names.

        Raises:
            UnknownPurgeError: there is no such plan.
        """
        with reading(self._engine) as connection:
            plan = purge.find_plan(connection, plan_id)
            if plan is None:
                raise UnknownPurgeError(f"There is no plan {plan_id}.")
            return plan, purge.items(connection, plan_id=plan_id)

    def plans_of(self, items: Iterable[Item]) -> dict[int, Plan]:
        """Return the plans that things are named by, by their numbers."""
        with reading(self._engine) as connection:
            found = (purge.find_plan(connection, number) for number in {item.plan for item in items})
            return {plan.id: plan for plan in found if plan is not None}

    def items_of(self, account: str) -> list[Item]:
        """Return everything of an account that a plan has named, oldest first.

        Raises:
            UnknownAccountError: there is no account of that name.
        """
        with reading(self._engine) as connection:
            return purge.items(connection, account_id=known(connection, account).id)

    def events(self, plan_id: int, item_id: int | None = None) -> list[PurgeEvent]:
        """Return what was done under a plan, or to one thing of it, oldest first."""
        with reading(self._engine) as connection:
            return purge.events(connection, plan_id=plan_id, item_id=item_id)

    # Holds -------------------------------------------------------------------------------------------

    def hold(self, account: str, *, by: Actor, reason: str) -> bool:
        """Put an account on hold: nothing of it is purged until somebody lifts it.

        Args:
            account: whose things to keep.
            by: an administrator; or a PI, for their project and its members.
            reason: why; the account's owner reads it.

        Returns:
            Whether it is new; False if the account is on hold already.

        Raises:
            UnknownAccountError: there is no account of that name.
            NotAllowedError: somebody else.
            ValueError: there is no reason.
        """
        if not reason.strip():
            raise ValueError("A hold needs a reason.")
        with decision(self._engine) as connection:
            owner = known(connection, account)
            _may_hold(connection, owner, by)
            accounts.lock_id(connection, owner.id)
            return purge_keep.add_hold(connection, owner.id, by=by.name, reason=reason.strip(), now=self._now())

    def release(self, account: str, *, by: Actor, reason: str) -> bool:
        """Lift the hold on an account.

        Args:
            account: whose things need not be kept any more.
            by: an administrator; or a PI, for their project and its members.
            reason: why.

        Returns:
            Whether there was one.

        Raises:
            UnknownAccountError: there is no account of that name.
            NotAllowedError: not an administrator, nor a PI for their project and its members.
            ValueError: there is no reason.
        """
        if not reason.strip():
            raise ValueError("A hold is lifted with a reason: from then on the account's things can be purged.")
        with decision(self._engine) as connection:
            owner = known(connection, account)
            _may_hold(connection, owner, by)
            return purge_keep.lift_hold(connection, owner.id, by=by.name, reason=reason.strip(), now=self._now())

    def holds(self, *, lifted: bool = False) -> list[PurgeHold]:
        """Return the accounts on hold, and with `lifted` those that were."""
        with reading(self._engine) as connection:
            return purge_keep.holds(connection, lifted=lifted)

    # Saying no ----------------------------------------------------------------------------------------

    def cancel(self, plan_id: int, *, by: Actor, reason: str) -> Plan:
        """Stop a plan. The next run gives back what is in quarantine; what was deleted can be restored as before.

        Raises:
            NotAllowedError: not an administrator.
            UnknownPurgeError: there is no such plan.
            ValueError: there is no reason.
        """
        admin_only(by, "cancel a purge")
        if not reason.strip():
            raise ValueError("A plan is cancelled with a reason.")
        with decision(self._engine) as connection:
            plan = purge.lock_plan(connection, plan_id)
            if plan is None:
                raise UnknownPurgeError(f"There is no plan {plan_id}.")
            if plan.closed_reason is None:
                now, text = self._now(), f"The plan was cancelled by {by.name}: {reason.strip()}"
                purge.set_plan(connection, plan_id, closed_at=now, closed_reason=text)
                purge.note(connection, plan_id, None, kind="cancel", actor=by.name, text=text, now=now)
            cancelled = purge.find_plan(connection, plan_id)
        assert cancelled is not None
        return cancelled

    def ask_back(self, item_id: int, *, by: Actor) -> Item:
        """Ask for a thing that was taken; the next run brings it back, out of the quarantine or the archive.

        Args:
            item_id: the thing's number.
            by: its owner, a PI of the project whose it is, or an administrator.

        Returns:
            The thing as it is now. One that was asked for or brought back already is returned as it is.

        Raises:
            NotAllowedError: somebody else.
            UnknownPurgeError: there is no such thing.
            PurgeError: nothing of it was taken, or its archive is gone.
        """
        with decision(self._engine) as connection:
            item = purge.find_item(connection, item_id)
            if item is None:
                raise UnknownPurgeError(f"There is nothing of the number {item_id} to restore.")
            _may_restore(connection, item, by)
            accounts.lock_id(connection, item.account_id)
            item = purge.find_item(connection, item_id)
            assert item is not None
            if item.stage is Stage.RESTORED or item.asked_by is not None:
                return item
            if item.stage is Stage.PURGED or item.doing is Act.DISCARD:
                raise PurgeError(
                    f"{item.name} of {item.account} can no longer be restored: the time for that is over."
                )
            if item.stage not in (Stage.QUARANTINED, Stage.DELETED):
                raise PurgeError(f"{item.name} of {item.account} is {item.stage}: nothing of it was taken.")
            now, reason = self._now(), item.reason or f"{by.name} asked for it"
            purge.set_item(connection, item.id, asked_by=by.name, reason=reason)
            text = "Asked for it back."
            purge.note(connection, item.plan, item.id, kind="asked", actor=by.name, text=text, now=now)
            asked = purge.find_item(connection, item_id)
        assert asked is not None
        return asked


def admin_only(by: Actor, what: str) -> None:
    """Turn down whoever does not run the platform.

    Raises:
        NotAllowedError: somebody who does not.
    """
    if not by.admin:
        raise NotAllowedError(f"Only an administrator may {what}.")


def _may_hold(connection: Connection, owner: Owner, by: Actor) -> None:
    if by.admin:
        return
    if owner.kind == "project":
        allowed = accounts.role_of(connection, owner.id, by.name) == "pi"
    else:
        allowed = any(
            accounts.role_of(connection, project.id, by.name) == "pi"
            for project in accounts.drawable(connection, owner.name)
            if project.kind == "project"
        )
    if not allowed:
        raise NotAllowedError(
            f"Only an administrator may put {owner.name} on hold or lift that, or a PI of a project of theirs."
        )


def _may_restore(connection: Connection, item: Item, by: Actor) -> None:
    own = item.kind == "user" and item.account == by.name
    pi = item.kind == "project" and accounts.role_of(connection, item.account_id, by.name) == "pi"
    if not (by.admin or own or pi):
        raise NotAllowedError(f"Only {item.account} or an administrator may restore {item.name}.")
