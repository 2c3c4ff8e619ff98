"""What notices say of limits and of who is in a project: overrides, caps, tiers, members."""

from __future__ import annotations

from datetime import datetime

from hubquota.models.caps import Cap
from hubquota.models.ledger import Role
from hubquota.models.letters import Letter, letter, time_text
from hubquota.models.money import format_credits
from hubquota.models.overrides import Overridden, Override
from hubquota.models.words import number_text

_ROLES: dict[Role, str] = {"member": "a member", "pi": "a PI"}


def override_given(one: Override) -> Letter:
    """An override of a tier's limits begins to count."""
    return letter(
        "override-given",
        str(one.id),
        f"Other limits on {one.account} until {one.until:%Y-%m-%d}",
        f"{_whose(one)} until {time_text(one.until)}: {limits_text(one.limits)} (override {one.id}, by "
        f"{one.given_by}). After that the tier's own limits count again.\n\n{one.reason}",
    )


def override_withdrawn(one: Override, *, by: str, reason: str) -> Letter:
    """An override of a tier's limits counts no more, before its date."""
    return letter(
        "override-withdrawn",
        str(one.id),
        f"The other limits on {one.account} are withdrawn",
        f"{_whose(one)}: {limits_text(one.limits)}. That was to be until {time_text(one.until)}, and was "
        f"withdrawn by {by} (override {one.id}). The tier's own limits count again.{_because(reason)}",
    )


def cap_set(cap: Cap) -> Letter:
    """A member of a project is capped."""
    limits = []
    if cap.credits is not None:
        limits.append(f"spend {format_credits(cap.credits)} credits in a term")
    if cap.workers is not None:
        limits.append(f"run {number_text(cap.workers, 'Dask worker')} at once")
    return letter(
        "cap-set",
        f"{cap.project}:{cap.member}:{_stamp(cap.at)}:{cap.credits}:{cap.workers}",
        f"A cap for {cap.member} on the project {cap.project}",
        f"On the project {cap.project}, {cap.member} may {' and '.join(limits)} and no more, by {cap.actor}."
        f"{_because(cap.reason)}",
    )


def cap_lifted(project: str, member: str, *, at: datetime, by: str, reason: str) -> Letter:
    """The cap of a member of a project is lifted."""
    return letter(
        "cap-lifted",
        f"{project}:{member}:{_stamp(at)}",
        f"{member} has no cap on the project {project} any more",
        f"The cap of {member} on the project {project} was lifted by {by}.{_because(reason)}",
    )


def tier_changed(
    key: str, account: str, title: str, number: int, units: int, *, end: datetime | None, by: str, reason: str
) -> Letter:
    """An account is moved to another tier."""
    term = "without an end" if end is None else f"until {time_text(end)}"
    return letter(
        "tier-changed",
        key,
        f"{account} is moved to the tier {title}",
        f"{account} was moved to the tier {title} by {by}: allocation {number} of {format_credits(units)} "
        f"credits, {term}.{_because(reason)}",
    )


def member_added(number: int, project: str, member: str, role: Role, *, by: str) -> Letter:
    """Somebody has a part in a project, or another one."""
    return letter(
        "member-added",
        str(number),
        f"{member} is {_ROLES[role]} of the project {project}",
        f"{member} was made {_ROLES[role]} of the project {project}, by {by}, and can draw on its credits: choose "
        "it as the account when you start a server.",
    )


def member_ended(number: int, project: str, member: str, *, by: str) -> Letter:
    """Somebody's part in a project has ended."""
    return letter(
        "member-ended",
        str(number),
        f"{member} is not in the project {project} any more",
        f"The part of {member} in the project {project} was ended, by {by}. What runs goes on; nothing new can be "
        "started on its credits.",
    )


def limits_text(limits: Overridden) -> str:
    """Return the limits that an override gives: "servers at once 2; sizes besides the tier's: large"."""
    words = {
        "servers": "servers at once for each person",
        "clusters": "Dask clusters at once",
        "workers": "Dask workers at once",
        "idle_stop_minutes": "minutes without activity before a stop",
        "longest_session_hours": "hours before a stop",
    }
    found = [f"{text}: {value}" for name, text in words.items() if (value := getattr(limits, name)) is not None]
    if limits.sizes:
        found.append(f"sizes besides the tier's: {', '.join(limits.sizes)}")
    return "; ".join(found)


def _whose(one: Override) -> str:
    whom = "" if one.person is None else f" for {one.person}"
    return f"Other limits than the tier's on the account {one.account}{whom}"


def _because(reason: str) -> str:
    return f"\n\n{reason}" if reason.strip() else ""


def _stamp(at: datetime) -> int:
    return int(at.timestamp())
