"""Renewing many allocations at once: first a preview, then, by its token, exactly what it showed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from sqlalchemy import Connection

from hubquota.models import letters
from hubquota.models.renewals import (
    Carried,
    Filter,
    Item,
    Preview,
    Problem,
    StalePreviewError,
    UnknownPreviewError,
    Wanted,
)
from hubquota.models.tiers import Tiers
from hubquota.models.words import number_text
from hubquota.services.base import ByTiers, tell
from hubquota.services.requests import decide
from hubquota.storage import renewals, requests, terms
from hubquota.storage.engine import decision, reading
from hubquota.storage.renewals import Candidate
from hubquota.storage.times import DAY, moment, seconds

_BATCH = 500


class Renewals(ByTiers):
    """Previews of many renewals, and carrying them out."""

    # Previews ----------------------------------------------------------------------------------------

    def preview(
        self,
        chosen: Filter,
        *,
        reason: str,
        actor: str,
        units: int | None = None,
        end: datetime | None = None,
    ) -> Preview:
        """Return what renewing every allocation that a filter chooses would do. Nothing is renewed yet.

        Args:
            chosen: which allocations.
            reason: why; the accounts' owners read it.
            actor: who renews.
            units: how much each is granted, in units; its tier's budget if not given.
            end: when each new term ends; after its tier's term if not given.

        Raises:
            ValueError: there is no reason, the amount is not above zero, or there is no such tier.
        """
        tiers = self._tiers()
        if not reason.strip():
            raise ValueError("The accounts' owners want to know why: give a reason.")
        if units is not None and units <= 0:
            raise ValueError("A renewal grants more than nothing.")
        if chosen.tier is not None and chosen.tier not in tiers.tiers:
            raise ValueError(f"There is no tier '{chosen.tier}'; there are {', '.join(tiers.tiers)}.")
        items: list[Item] = []
        problems: list[Problem] = []
        seen: list[str] = []
        with reading(self._engine) as connection:
            now = self._now()
            candidates = [one for one in self._chosen(connection, chosen, now) if one.tier in tiers.tiers]
            for number, candidate in enumerate(candidates, 1):
                wanted = Wanted(number, candidate.account, candidate.tier, units, end, reason)
                found = _item(wanted, candidate, tiers, now)
                if isinstance(found, Problem):
                    problems.append(found)
                else:
                    items.append(found)
                    seen.append(candidate.seen)
        return self._keep(items, problems, seen, actor)

    def preview_list(
        self, wanted: Sequence[Wanted], *, actor: str, problems: Sequence[Problem] = (), skip_wrong: bool = False
    ) -> Preview:
        """Return what renewing what a list names would do. Nothing is renewed yet.

        Args:
            wanted: the list; see `hubquota.services.renewallist`.
            actor: who renews.
            problems: what is wrong with other lines of the list.
            skip_wrong: whether it can be carried out without the lines that are wrong.
        """
        tiers = self._tiers()
        wrong, items, seen = list(problems), list[Item](), list[str]()
        first: dict[tuple[str, str], int] = {}
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            with reading(self._engine) as connection:
                there, candidates = renewals.named(connection, {one.account for one in batch})
                now = self._now()
            latest = _latest(candidates)
            for one in batch:
                candidate = latest.get((one.account, one.tier))
                earlier = first.setdefault((one.account, one.tier), one.line)
                found: Item | Problem
                if earlier != one.line:
                    found = Problem(one.line, one.account, f"Line {earlier} renews the same already.")
                elif one.account not in there:
                    found = Problem(one.line, one.account, f"There is no account '{one.account}'.")
                elif candidate is None:
                    found = Problem(
                        one.line, one.account, f"It has no allocation of the tier '{one.tier}' to renew."
                    )
                else:
                    found = _item(one, candidate, tiers, now)
                if isinstance(found, Problem):
                    wrong.append(found)
                elif candidate is not None:
                    items.append(found)
                    seen.append(candidate.seen)
        wrong.sort(key=lambda problem: problem.line)
        return self._keep(items, wrong, seen, actor, skip_wrong=skip_wrong)

    def items(self, token: str) -> list[Item]:
        """Return what a preview showed, and how far it has been carried out.

        Raises:
            UnknownPreviewError: there is no preview of that token.
        """
        with reading(self._engine) as connection:
            return [item for item, _ in _kept(connection, token)]

    # Carrying out ------------------------------------------------------------------------------------

    def carry_out(self, token: str, *, actor: str, progress: Callable[[int], None] = lambda more: None) -> Carried:
        """Renew what a preview showed. It may be interrupted, and run again: each renewal is made once.

        Args:
            token: the preview's.
            actor: who renews.
            progress: called with how many more are done.

        Raises:
            UnknownPreviewError: there is no preview of that token.
            StalePreviewError: something that it saw has changed; nothing has been renewed by this call.
        """
        with reading(self._engine) as connection:
            kept = list(_kept(connection, token))
            waiting = [(item, seen) for item, seen in kept if item.following is None]
            stale = list(_stale(connection, waiting, self._now()))
        if stale:
            told = "; ".join(f"{problem.account}: {problem.text}" for problem in stale[:5])
            raise StalePreviewError(
                f"{number_text(len(stale), 'allocation')} changed since the preview, so nothing was renewed: "
                f"{told}{'; …' if len(stale) > 5 else '.'} Make another preview."
            )
        renewed = before = 0
        left_alone: list[Problem] = []
        for item, seen in kept:
            if item.following is not None:
                before += 1
            else:
                found = self._renew(token, item, seen, actor)
                if isinstance(found, Problem):
                    left_alone.append(found)
                elif found:
                    renewed += 1
                else:
                    before += 1
            progress(1)
        return Carried(renewed=renewed, before=before, left_alone=tuple(left_alone))

    def _renew(self, token: str, item: Item, seen: str, actor: str) -> Problem | bool:
        """Make one renewal; return whether this call made it, or why it was left alone."""
        with decision(self._engine) as connection:
            book = self._book(connection, item.account)
            if renewals.following_of(connection, token, item.line) is not None:
                return False
            for problem in _stale(connection, [(item, seen)], book.now):
                return problem
            if item.start <= moment(book.now):
                # What has run so far is charged to what could pay for it then.
                book.settle_all(actor="hubquota")
            number = book.grant(
                tier=item.tier,
                units=item.units,
                start=seconds(item.start),
                end=seconds(item.end),
                renewable=True,
                actor=actor,
                reason=item.reason,
                key=terms.renewal_key(connection, item.allocation),
                follows=item.allocation,
            )
            renewals.note_done(connection, token, item.line, number)
            asked = requests.find_open(connection, book.owner.id, item.tier)
            if asked is not None and asked.renews == item.allocation:
                # What somebody asked for is done, and waits for nobody any more.
                decide(book, asked, "approved", by=actor, reason=item.reason, units=item.units, allocation=number)
            tier = self._tiers().tiers.get(item.tier)
            title = item.tier if tier is None else tier.title
            tell(book, letters.renewed(item.allocation, item.account, title, number, item.start, item.end))
        return True

    # Parts -------------------------------------------------------------------------------------------

    def _chosen(self, connection: Connection, chosen: Filter, now: int) -> Iterator[Candidate]:
        after = (0, 0)
        while True:
            found = renewals.ending(
                connection,
                tier=chosen.tier,
                since=now,
                before=seconds(chosen.ends_before),
                after=after,
                limit=_BATCH,
            )
            if not found:
                return
            after = found[-1].end_at or 0, found[-1].id
            fitting = [one for one in found if fnmatchcase(one.account, chosen.accounts)]
            if chosen.active_within_days is not None:
                active = terms.first_active(connection, [one.id for one in fitting], chosen.active_within_days)
                fitting = [one for one in fitting if one.id in active]
            yield from fitting

    def _keep(
        self,
        items: list[Item],
        problems: list[Problem],
        seen: list[str],
        actor: str,
        *,
        skip_wrong: bool = False,
    ) -> Preview:
        token: str | None = None
        if items and (skip_wrong or not problems):
            told = [
                [item.line, item.account, item.tier, item.units, seconds(item.end), item.reason, what]
                for item, what in zip(items, seen, strict=True)
            ]
            token = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
            with decision(self._engine) as connection:
                renewals.save(connection, token, items, seen, at=self._now(), by=actor)
        return Preview(token, tuple(items), tuple(problems))


def _latest(candidates: Sequence[Candidate]) -> dict[tuple[str, str], Candidate]:
    """Return for each account and tier the allocation that ends last, or never."""
    ordered = sorted(candidates, key=lambda one: (one.end_at is None, one.end_at or 0, one.id))
    return {(one.account, one.tier): one for one in ordered}


def _item(wanted: Wanted, candidate: Candidate, tiers: Tiers, now: int) -> Item | Problem:
    """Return the renewal that a line wants, or why it cannot be."""

    def problem(text: str) -> Problem:
        return Problem(wanted.line, wanted.account, text)

    tier = tiers.tiers.get(wanted.tier)
    number = candidate.id
    if tier is None:
        return problem(f"There is no tier '{wanted.tier}'; there are {', '.join(tiers.tiers)}.")
    if candidate.end_at is None:
        return problem(f"Allocation {number} has no end, so nothing can follow it.")
    for wrong, text in (
        (candidate.following is not None, f"is renewed already, by allocation {candidate.following}"),
        (candidate.revoked_at is not None, "was revoked"),
        (not candidate.renewable, "cannot be renewed"),
        (candidate.suspended_at is not None, "is suspended; resume it first"),
    ):
        if wrong:
            return problem(f"Allocation {number} {text}.")
    start = max(candidate.end_at, now)
    end = start + tier.term_days * DAY if wanted.end is None else seconds(wanted.end)
    if end <= start:
        return problem(
            f"The end {moment(end):%Y-%m-%d} is not after the start, {moment(start):%Y-%m-%d %H:%M} UTC."
        )
    units = tier.budget_units if wanted.units is None else wanted.units
    if units <= 0:
        return problem(f"The tier '{wanted.tier}' has no budget: say how many credits.")
    return Item(wanted.line, wanted.account, number, wanted.tier, units, moment(start), moment(end), wanted.reason)


def _kept(connection: Connection, token: str) -> Iterator[tuple[Item, str]]:
    if not renewals.exists(connection, token):
        raise UnknownPreviewError(f"There is no preview '{token}'. Make one with `hubquota renew preview`.")
    after = -1
    while found := renewals.items(connection, token, after=after, limit=_BATCH):
        yield from found
        after = found[-1][0].line


def _stale(connection: Connection, kept: Sequence[tuple[Item, str]], time: int) -> Iterator[Problem]:
    for start in range(0, len(kept), _BATCH):
        batch = kept[start : start + _BATCH]
        now = renewals.by_ids(connection, {item.allocation for item, _ in batch})
        for item, seen in batch:
            found = now[item.allocation]
            if found.seen != seen:
                by = f", by allocation {found.following}" if found.following is not None else ""
                what = "was renewed" if by else "was changed"
                yield Problem(item.line, item.account, f"allocation {item.allocation} {what}{by}")
            elif item.end <= moment(time):
                text = f"the new term of allocation {item.allocation} would be over already"
                yield Problem(item.line, item.account, text)
