"""Carrying plans out, step by step, so that a run may be interrupted anywhere and repeated.

Before a step, the thing is looked at again and its account is asked again in the transaction that notes the
begin of the step; what was done is noted in another one. In between, only what can be repeated happens. A
step that was begun and has no end is done again by the next run, or undone, if something now speaks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import httpx
from sqlalchemy import Connection

from hubquota.models.purge import (
    ENDED,
    Act,
    BusyError,
    DamagedError,
    Item,
    Plan,
    PurgeError,
    Stage,
    StalePlanError,
    TooManyAccountsError,
    TouchedError,
    next_act,
)
from hubquota.models.requests import Actor
from hubquota.models.words import number_text
from hubquota.services.purge_acts import Acts
from hubquota.services.purge_base import nothing
from hubquota.storage import accounts, purge, purge_keep
from hubquota.storage.engine import decision, reading
from hubquota.storage.exclusive import exclusively

#: A number of our own for the locks of things.
LOCK = 0x7075_7267

#: What goes wrong with one thing and need not keep the others waiting.
FAILURES = (OSError, PurgeError, httpx.HTTPError)


@dataclass(frozen=True, slots=True)
class Step:
    """What a run did to a thing, or would do."""

    item: Item
    #: None where it failed before anything could be decided.
    act: Act | None
    #: Why it could not be done; None where it was.
    failure: str | None = None
    #: Why it is left alone, where it is.
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knows of a thing now."""

    item: Item
    #: Why it is to be left alone, or left in the archive; None where nothing speaks for it.
    keep: str | None = None
    #: Why what was deleted is to be brought back without anybody asking; None where it is not.
    wanted: str | None = None
    #: The stages of what goes before it.
    others: AbstractSet[Stage] = frozenset()


class Steps(Acts):
    """Takes what approved plans name, as far as it may be taken now."""

    def advance(
        self,
        plans: Sequence[int] | None = None,
        *,
        dry_run: bool = True,
        done: Callable[[Step], None] = nothing,
    ) -> list[Step]:
        """Do what is due under approved plans. Safe to be interrupted, repeated, and done by several at once.

        Args:
            plans: the plans' numbers; all approved ones if not given.
            dry_run: say what would be done next to each thing, and do nothing.
            done: is told each step once it is done.

        Returns:
            What was done, or would be; one that failed says why and is tried again by the next run.

        Raises:
            PurgeError: there is no such plan.
            StalePlanError: one is not approved, or no longer counts. Nothing was changed.
            TooManyAccountsError: more accounts are due than the limits allow at once. Nothing was changed.
        """
        chosen = self._chosen(plans)
        with reading(self._engine) as connection:
            items = [item for plan in chosen for item in purge.items(connection, plan_id=plan.id)]
            self._check_run(connection, chosen, items)
        order = {name: position for position, name in enumerate(self._adapters)}
        steps: list[Step] = []

        def tell(step: Step) -> None:
            steps.append(step)
            done(step)

        for item in sorted(items, key=lambda item: (self._is_last(item), order.get(item.adapter, 0), item.id)):
            if item.stage in ENDED and not item.archive_kept:
                continue
            with exclusively(self._engine, LOCK, item.id) as free:
                if not free:
                    tell(Step(item, None, "Another process is at work on it."))
                    continue
                try:
                    while self._step(item.id, dry_run=dry_run, tell=tell) and not dry_run:
                        pass
                except FAILURES as error:
                    tell(self._failed(item, error, dry_run=dry_run))
        return steps

    def restore(self, item_id: int, *, by: Actor) -> Item:
        """Bring a thing back now, out of the quarantine or the archive.

        Args:
            item_id: the thing's number.
            by: its owner, a PI of the project whose it is, or an administrator.

        Returns:
            The thing; its `place` says where it is. One that was restored already is returned as it is.

        Raises:
            NotAllowedError: somebody else.
            BusyError: a run is at work on it now. The next one brings it back.
            PurgeError: there is no such thing, nothing of it was taken, its archive is gone or damaged.
            OSError: it cannot be put where it belongs, such as for want of room. It can be tried again.
        """
        item = self.ask_back(item_id, by=by)
        with exclusively(self._engine, LOCK, item_id) as free:
            if not free:
                raise BusyError(f"Something is at work on {item.name} of {item.account}. It comes back then.")
            while item.stage not in ENDED and self._step(item_id, dry_run=False, tell=nothing):
                with reading(self._engine) as connection:
                    item = purge.find_item(connection, item_id) or item
        return item

    def _step(self, item_id: int, *, dry_run: bool, tell: Callable[[Step], None]) -> bool:
        """Take the next step with a thing. Return whether there was one."""
        with reading(self._engine) as connection:
            known = self._read(connection, item_id)
        item, act = known.item, self._next(known)
        if act is None:
            return False
        # Looked at only where something is due: a look reads every name in it.
        found = self._touched(item) if known.keep is None else None
        act = self._next(known, found) or act
        if act is Act.DELETE and found is None and (damaged := self._damaged(item, dry_run=dry_run)):
            found = damaged
            act = self._next(known, found)
            assert act is not None
        act = self._how_back(item, act)
        if dry_run:
            tell(Step(item, act, reason=_reason(known, found)))
            return True
        with decision(self._engine) as connection:
            accounts.lock_id(connection, item.account_id)
            known = self._read(connection, item_id)
            item = known.item
            # Somebody may have come back between the look and this transaction: then it is looked at again.
            again = self._next(known, found)
            if again is None or self._how_back(item, again) is not act:
                return True
            self.begin(connection, item, act, _reason(known, found))
            item = purge.find_item(connection, item_id) or item
        self._boundary(f"{act}: begun")
        try:
            ended = self.carry_out(item, act)
        except TouchedError as error:
            self.note_touched(item, str(error))
            return True
        tell(Step(ended, act, reason=ended.reason))
        return True

    # Parts -------------------------------------------------------------------------------------------

    def _chosen(self, numbers: Sequence[int] | None) -> list[Plan]:
        with reading(self._engine) as connection:
            if numbers is None:
                return purge.open_plans(connection)
            chosen = []
            for number in sorted(set(numbers)):
                plan = purge.find_plan(connection, number)
                if plan is None:
                    raise PurgeError(f"There is no plan {number}.")
                if plan.approved_at is None:
                    why = plan.closed_reason or "Nobody has approved it."
                    raise StalePlanError(f"Plan {number} cannot be carried out: {why} Nothing was changed.")
                chosen.append(plan)
            return chosen

    def _check_run(self, connection: Connection, plans: Sequence[Plan], items: Sequence[Item]) -> None:
        passed_over = {plan.id for plan in plans if plan.override is not None or plan.closed_reason is not None}
        entering = {Act.ARCHIVE, Act.QUARANTINE, Act.DELETE}
        due = {
            item.account_id
            for item in items
            if item.plan not in passed_over and self._next(_Known(item)) in entering
        }
        everybody = purge.count_accounts(connection)
        allowed = self._settings.limits.allowed(everybody)
        if len(due) > allowed:
            raise TooManyAccountsError(
                f"This run would take things of {number_text(len(due), 'account')} of {everybody}, and at most "
                f"{allowed} may be purged at once. Nothing was changed. Run the plans one by one, or make and "
                "approve a plan with a reason for passing over the limit."
            )

    def _read(self, connection: Connection, item_id: int) -> _Known:
        item = purge.find_item(connection, item_id)
        assert item is not None
        if item.stage in ENDED:
            return _Known(item)
        if item.stage is Stage.DELETED:
            # Nothing can be left alone any more, but what is on hold stays in the archive.
            hold = purge_keep.hold_reason(connection, item.account_id) or None
            return _Known(item, keep=hold, wanted=self._come_back(connection, item))
        keep, others = self._keep(connection, item), set[Stage]()
        if self._is_last(item):
            rest = purge.items(connection, plan_id=item.plan, account_id=item.account_id)
            others = {other.stage for other in rest if not self._is_last(other)}
            if keep is None and others & {Stage.LEFT_ALONE, Stage.RESTORED}:
                keep = f"something else of {item.account} was left alone"
        return _Known(item, keep=keep, others=others)

    def _next(self, known: _Known, found: str | None = None) -> Act | None:
        return next_act(
            known.item,
            self._clock(),
            keep=known.keep or found,
            notice_days=self._settings.notice_days,
            others=known.others,
            wanted=known.wanted is not None,
        )

    def _is_last(self, item: Item) -> bool:
        adapter = self._adapters.get(item.adapter)
        return adapter is not None and adapter.last

    def _touched(self, item: Item) -> str | None:
        """Return how a thing is not what was seen of it; None where it is."""
        if (
            item.stage in ENDED
            or item.stage is Stage.DELETED
            or item.doing in (Act.DELETE, Act.RESTORE, Act.GIVE_BACK)
        ):
            return None
        adapter = self._adapter(item)
        try:
            aside = adapter.look_aside(item.thing) if item.stage is Stage.QUARANTINED else None
            if item.stage is Stage.QUARANTINED:
                return None if aside == item.quarantine_print else f"{item.name} was changed in the quarantine"
            if item.doing is Act.QUARANTINE:
                return None  # the adapter knows how far that has come, and looks at it
            seen = adapter.look(item.thing)
        except TouchedError as error:
            return str(error)
        if seen is None:
            return f"{item.name} is not there any more"
        return (
            None
            if seen.fingerprint == item.seen.fingerprint
            else f"{item.name} has changed since the plan was made"
        )

    def _damaged(self, item: Item, *, dry_run: bool) -> str | None:
        """Return what is wrong with an archive; None where every byte of it agrees with its manifest."""
        if dry_run:
            return None
        try:
            assert item.archive_digest is not None
            assert item.manifest_digest is not None
            self._archives.verify(item.mark, item.archive_digest, item.manifest_digest, self._progress)
        except DamagedError as error:
            if item.doing is Act.DELETE:
                raise  # half of it is gone: what is left stays where it is, and somebody has to look
            return str(error)
        return None

    def _how_back(self, item: Item, act: Act) -> Act:
        if act is Act.GIVE_BACK and item.doing is None and self._adapter(item).look_aside(item.thing) is None:
            return Act.RESTORE  # somebody has taken it out of the quarantine; the archive has it
        return act

    def _failed(self, item: Item, error: Exception, *, dry_run: bool) -> Step:
        text = f"{type(error).__name__}: {error}" if isinstance(error, (OSError, httpx.HTTPError)) else str(error)
        with reading(self._engine) as connection:
            now_is = purge.find_item(connection, item.id) or item
        if not dry_run:
            with decision(self._engine) as connection:
                purge.note(
                    connection, item.plan, item.id, kind="failed", actor="hubquota", text=text, now=self._now()
                )
        return Step(now_is, now_is.doing, text)


def _reason(known: _Known, found: str | None) -> str | None:
    """Return why a thing is left alone or brought back."""
    if known.item.stage is Stage.DELETED:
        return known.item.reason or known.wanted or found
    return known.keep or found
