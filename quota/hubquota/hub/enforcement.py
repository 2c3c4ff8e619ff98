"""What the watch announces: warnings, each once, and stops of what somebody else has to stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Lease, Refused
from hubquota.models.money import format_credits
from hubquota.models.notices import LONGEST_SUBJECT
from hubquota.models.stops import (
    USED_UP,
    Outlook,
    Stop,
    StopWarning,
    budget_stop,
    cap_stop,
    due_warning,
    seconds_to_threshold,
    session_stops,
    threshold_passed,
)
from hubquota.models.tiers import Tier, Tiers, Warnings
from hubquota.models.words import about_text, moment_text
from hubquota.services.ledger import Ledger

#: The kinds of notices that the watch posts.
STOP_NOTICE = "server-stop"
BUDGET_NOTICE = "budget-left"


def stops_of(
    ledger: Ledger, tiers: Tiers, lease: Lease, outlook: Outlook | None, *, active: datetime
) -> list[Stop]:
    """Return the stops that are to come for a server that runs.

    Args:
        ledger: the ledger.
        tiers: what the tiers file says.
        lease: the server's lease, which has begun.
        outlook: how long the account lasts; None if nothing on it costs anything.
        active: when activity was last noted in the server.
    """
    stops: list[Stop] = []
    limits = _limits(ledger, tiers, lease)
    if limits is not None and lease.started_at is not None:
        stops += session_stops(limits, started=lease.started_at, active=active)
    if lease.rate and outlook is not None and outlook.exhausts_at is not None:
        stops.append(budget_stop(lease.account, at=outlook.exhausts_at, since=outlook.funded_at))
    capped = ledger.cap_ends_at(lease.account, lease.person) if lease.rate else None
    if capped is not None:
        stops.append(cap_stop(lease.account, lease.person, at=capped, since=lease.started_at or capped))
    return stops


def _limits(ledger: Ledger, tiers: Tiers, lease: Lease) -> Tier | None:
    """Return the limits of something that runs; None where the tiers file no longer says them."""
    try:
        return ledger.entitlement(tiers, lease.account, lease.person).limits_of(lease.label)
    except Refused:
        return None


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning: as a notice, and on the hub's pages."""

    kind: str
    #: Says which warning this is; nobody gets it twice.
    key: str
    #: A sentence without its full stop.
    subject: str
    text: str


def stop_warning(lease: Lease, due: StopWarning, now: datetime) -> Warned:
    """Return the warning before a stop.

    It is known by the lease, the kind of stop, the threshold, and what the stop counts from: after new
    activity, or new credits, the next one is another.
    """
    stop = due.stop
    left = about_text(int((stop.at - now).total_seconds()))
    return Warned(
        kind=STOP_NOTICE,
        key=f"stop:{lease.id}:{stop.kind}:{due.minutes}:{int(stop.since.timestamp())}",
        subject=f"Your {lease.label} will be stopped in {left}",
        text=f"It will be stopped on {moment_text(stop.at)}. {stop.warning} Save your work before then.",
    )


def budget_warning(outlook: Outlook, warnings: Warnings) -> Warned | None:
    """Return the warning that an account has come down to a fraction of its budget; None where it has not."""
    passed = threshold_passed(outlook.left, outlook.granted, warnings.budget_left)
    if passed is None:
        return None
    percent = f"{(passed * 100).normalize():f}"
    text = (
        f"{format_credits(max(0, outlook.left))} of {format_credits(outlook.granted)} credits are left to "
        f"{outlook.account}."
    )
    if outlook.exhausts_at is not None:
        text += f" If what runs now goes on, they end on {moment_text(outlook.exhausts_at)}."
    return Warned(
        kind=BUDGET_NOTICE,
        key=f"budget-left:{outlook.account}:{percent}:{int(outlook.funded_at.timestamp())}",
        subject=f"Not more than {percent} percent of the credits of {outlook.account} are left",
        text=text,
    )


class Announcements:
    """Tells people, and those who stop other things than servers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def before_stop(self, lease: Lease, stops: Iterable[Stop], warnings: Warnings, now: datetime) -> int:
        """Warn who runs a server of the next stop, if a warning is due. Return how many were told."""
        due = due_warning(stops, warnings.minutes_before_stop, now)
        return 0 if due is None else self._tell([lease.person], stop_warning(lease, due, now))

    def of_account(self, outlook: Outlook, warnings: Warnings, now: datetime) -> tuple[int, datetime | None]:
        """Warn whose account has come down to a fraction of its budget.

        Returns:
            How many were told, and when the next threshold will be reached.
        """
        warned = budget_warning(outlook, warnings)
        told = 0 if warned is None else self._tell(outlook.owners, warned, optional=True)
        ahead = seconds_to_threshold(outlook.left, outlook.granted, outlook.rate, warnings.budget_left)
        # Beyond a year nothing is waited for; a date further on might not even exist.
        soon = ahead is not None and ahead < 366 * 86_400
        return told, now + timedelta(seconds=ahead) if ahead is not None and soon else None

    def _tell(self, people: Iterable[str], warned: Warned, *, optional: bool = False) -> int:
        return sum(
            self._ledger.tell(
                person,
                kind=warned.kind,
                key=warned.key,
                subject=warned.subject[:LONGEST_SUBJECT],
                text=warned.text,
                optional=optional,
            )
            for person in people
        )

    def for_others(self, outlooks: Mapping[str, Outlook], now: datetime) -> None:
        """Announce a stop to whoever runs what is no server, or take it back where there are credits again."""
        for lease in self._ledger.open_leases():
            # What costs nothing, such as a cluster beside its workers, is its runner's own affair.
            if lease.kind == SERVER or lease.started_at is None or not lease.rate:
                continue
            outlook = outlooks.get(lease.account)
            end = outlook.exhausts_at if outlook is not None else None
            spent = end is not None and end <= now
            if spent and lease.reason is None:
                self._ledger.announce_stop(lease.id, USED_UP, "budget")
            elif not spent and lease.end_kind == "budget":
                self._ledger.announce_stop(lease.id, None)
