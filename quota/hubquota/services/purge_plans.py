"""Plans of a purge: what would be taken, of whom, how much and why; and an administrator's word on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from hubquota.models.purge import (
    Plan,
    PurgeError,
    Seen,
    StalePlanError,
    Thing,
    TooManyAccountsError,
    UnknownPurgeError,
)
from hubquota.models.requests import Actor
from hubquota.models.words import number_text
from hubquota.services.purge_base import PurgeService, nothing
from hubquota.services.purge_register import admin_only
from hubquota.storage import purge, purge_keep
from hubquota.storage.engine import decision, reading
from hubquota.storage.purge_keep import Past
from hubquota.storage.times import moment, seconds


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that a plan would name."""

    account: str
    adapter: str
    name: str
    seen: Seen
    why: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What there is to purge now."""

    #: The plan that names it; None where nothing was to be written, or where there is nothing.
    plan: int | None
    found: tuple[Found, ...]
    #: What could not be looked at, as sentences.
    problems: tuple[str, ...]


class Plans(PurgeService):
    """Makes plans and takes what is decided about them."""

    def plan(self, *, by: Actor, dry_run: bool = True, looked: Callable[[object], None] = nothing) -> Draft:
        """Find what there is to purge: everything of the accounts whose every allocation is past its grace.

        Nothing is taken from accounts that are on hold, have something running, wait for a decision about a
        request, or belong to members of a project with an allocation.

        Args:
            by: an administrator.
            dry_run: look only. Otherwise the plan is written down for review, and replaces the ones before it
                that nobody has approved.
            looked: is told each account that was looked at.

        Raises:
            NotAllowedError: somebody else.
        """
        admin_only(by, "make a plan of a purge")
        with reading(self._engine) as connection:
            past = purge_keep.past_grace(connection, self._graces, self._now())
        found: list[tuple[Past, Found]] = []
        problems: list[str] = []
        for account in past:
            self._look_at(account, found, problems)
            looked(account.name)
        listed = tuple(one for _, one in found)
        if dry_run or not found:
            return Draft(None, listed, tuple(problems))
        with decision(self._engine) as connection:
            now = self._now()
            number = purge.add_plan(connection, by=by.name, digest=_digest(found), now=now)
            for owner, one in found:
                purge.add_item(
                    connection,
                    number,
                    owner.id,
                    adapter=one.adapter,
                    name=one.name,
                    seen=one.seen,
                    newest_at=None if one.seen.newest is None else seconds(one.seen.newest),
                    why=one.why,
                    allocation_id=owner.newest,
                    now=now,
                )
            text = f"Plan {number} has replaced it."
            purge.close_drafts(connection, before=number, now=now, reason=text)
            purge.note(connection, number, None, kind="plan", actor=by.name, text="The plan was made.", now=now)
        return Draft(number, listed, tuple(problems))

    def approve(self, plan_id: int, *, by: Actor, digest: str, override: str | None = None) -> Plan:
        """Let a plan be carried out.

        Args:
            plan_id: the plan's number.
            by: an administrator.
            digest: the plan's digest, or its first eight or more characters: says that this is what was read.
            override: why it may purge more accounts at once than the limits allow.

        Raises:
            NotAllowedError: somebody else.
            StalePlanError: it is not what was read, it is too old, or it no longer counts.
            TooManyAccountsError: it names more accounts than the limits allow.
            UnknownPurgeError: there is no such plan.
        """
        admin_only(by, "approve a purge")
        with decision(self._engine) as connection:
            plan = purge.lock_plan(connection, plan_id)
            if plan is None:
                raise UnknownPurgeError(f"There is no plan {plan_id}.")
            if len(digest) < 8 or not plan.digest.startswith(digest):
                raise StalePlanError(
                    f"Plan {plan_id} has the digest {plan.digest[:12]}, not '{digest}'. Read it once more."
                )
            if plan.closed_reason is not None:
                raise StalePlanError(f"Plan {plan_id} no longer counts: {plan.closed_reason}")
            if plan.approved_at is not None:
                return plan
            self._check_new(connection, plan)
            self._check_limits(connection, plan, override)
            now = self._now()
            purge.set_plan(
                connection, plan_id, approved_at=now, approved_by=by.name, override_reason=override or None
            )
            purge.activate(connection, plan_id)
            text = "The plan was approved." + (f" Its limits were passed over: {override}" if override else "")
            purge.note(connection, plan_id, None, kind="approve", actor=by.name, text=text, now=now)
            approved = purge.find_plan(connection, plan_id)
        assert approved is not None
        return approved

    # Parts -------------------------------------------------------------------------------------------

    def _look_at(self, account: Past, found: list[tuple[Past, Found]], problems: list[str]) -> None:
        with reading(self._engine) as connection:
            now = self._now()
            if purge_keep.reason_to_keep(connection, account.id, account.name, self._graces, now):
                return
        why = f"The last term of {account.name} ended on {moment(account.ended_at):%Y-%m-%d}; its grace is over."
        for adapter_name, adapter in self._adapters.items():
            try:
                for name in adapter.find(account.name, account.kind):
                    with reading(self._engine) as connection:
                        if purge.is_taken(connection, account.id, adapter_name, name):
                            continue
                    seen = adapter.look(Thing(account.name, account.kind, name))
                    if seen is not None:
                        found.append((account, Found(account.name, adapter_name, name, seen, why)))
            except (OSError, PurgeError) as error:
                problems.append(f"{account.name}, {adapter_name}: {error}")

    def _check_new(self, connection: Connection, plan: Plan) -> None:
        good_until = plan.made_at + timedelta(days=self._settings.plan_days)
        if self._clock() >= good_until:
            raise StalePlanError(
                f"Plan {plan.id} was made on {plan.made_at:%Y-%m-%d} and could be approved until "
                f"{good_until:%Y-%m-%d %H:%M} UTC. Make a new one."
            )
        if taken := purge.taken_by_others(connection, plan.id):
            account, adapter, other = taken[0]
            raise StalePlanError(
                f"Plan {other} is at work on things of plan {plan.id}, such as {adapter} of {account}. "
                "Make a new plan."
            )

    def _check_limits(self, connection: Connection, plan: Plan, override: str | None) -> None:
        everybody = purge.count_accounts(connection)
        allowed = self._settings.limits.allowed(everybody)
        if plan.accounts > allowed and not override:
            raise TooManyAccountsError(
                f"Plan {plan.id} would purge {number_text(plan.accounts, 'account')} of {everybody}, and at most "
                f"{allowed} may be purged at once. Nothing was changed. If that is what you want, approve it with "
                "a reason for passing over the limit."
            )


def _digest(found: Sequence[tuple[Past, Found]]) -> str:
    listed = [
        (one.account, one.adapter, one.name, one.seen.bytes, one.seen.files, one.seen.fingerprint)
        for _, one in found
    ]
    return hashlib.sha256(json.dumps(sorted(listed)).encode("utf-8", "surrogateescape")).hexdigest()
