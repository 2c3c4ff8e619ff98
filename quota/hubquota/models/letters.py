"""What notices say: one function for each thing that happens to a request or to an allocation.

A text names days, never "in three days": it says the same whenever it is read, and however late it was posted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hubquota.models.ledger import AccountKind
from hubquota.models.money import format_credits
from hubquota.models.notices import LONGEST_SUBJECT
from hubquota.models.words import number_text

#: Stands for those who decide about requests, where the settings for notices name them.
ADMINS = "@admins"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of notice."""

    #: What it tells of, as the end of a sentence that begins "Tell me when".
    when: str
    #: Whether people may choose not to be sent it.
    optional: bool = False


#: The kinds that this package posts about requests and allocations.
KINDS: dict[str, Kind] = {
    "request-asked": Kind("somebody asks for an allocation that I decide about"),
    "purge-plan-waits": Kind("a plan of a purge waits for me to review it"),
    "request-decided": Kind("a request of mine is decided"),
    "allocation-granted": Kind("I am granted an allocation", optional=True),
    "allocation-supplemented": Kind("credits are added to an allocation", optional=True),
    "allocation-transferred": Kind("credits are moved from or to an allocation"),
    "allocation-corrected": Kind("the credits of an allocation are corrected"),
    "allocation-extended": Kind("the end of an allocation is moved", optional=True),
    "allocation-suspended": Kind("an allocation is suspended"),
    "allocation-resumed": Kind("an allocation is resumed", optional=True),
    "allocation-revoked": Kind("an allocation is revoked"),
    "allocation-renewed": Kind("an allocation is renewed", optional=True),
    "allocation-expiring": Kind("the end of an allocation is near"),
    "scratch-ending": Kind("the end of a scratch space is near"),
    "scratch-ended": Kind("a scratch space has ended, and when it is taken away"),
    "allocation-expired": Kind("an allocation has ended"),
    "grace-begun": Kind("my last allocation has ended, and my files are kept for a while"),
    "grace-over": Kind("that while is over"),
    "override-given": Kind("I am given other limits than my tier's", optional=True),
    "override-withdrawn": Kind("such limits are withdrawn"),
    "cap-set": Kind("I am capped on a project, or somebody on a project of mine is"),
    "cap-lifted": Kind("such a cap is lifted", optional=True),
    "tier-changed": Kind("an account is moved to another tier"),
    "member-added": Kind("I am made a part of a project", optional=True),
    "member-ended": Kind("my part in a project is ended"),
    "cluster-limited": Kind("an administrator limits a Dask cluster of mine"),
    "cluster-stopped": Kind("an administrator stops a Dask cluster of mine"),
}


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice before it has a reader."""

    kind: str
    key: str
    subject: str
    text: str

    @property
    def optional(self) -> bool:
        """Whether people may choose not to be sent it."""
        return KINDS[self.kind].optional


def purge_waits(plan: int, accounts: int, things: int, until: datetime) -> Letter:
    """A plan of a purge was made, and nobody has reviewed it."""
    return letter(
        "purge-plan-waits",
        str(plan),
        f"Plan {plan} of a purge waits for a review",
        f"It names {number_text(things, 'thing')} of {number_text(accounts, 'account')} whose time is over. It "
        f"can be approved until {_time(until)}, on the page Purge of the portal. Without that, nothing of it is "
        "done.",
    )


def expiring(number: int, account: str, title: str, end: datetime, *, advice: str) -> Letter:
    """An allocation's end is near. `advice` says what its owner can do about it, in sentences."""
    return letter(
        "allocation-expiring",
        f"{number}:{_stamp(end)}",
        f"The {title} allocation of {account} ends on {_day(end)}",
        f"Allocation {number} ({title}) of {account} ends on {_time(end)}. What is left of it lapses then. "
        f"{advice}",
    )


def renewed(number: int, account: str, title: str, following: int, start: datetime, end: datetime) -> Letter:
    """An allocation is followed by another."""
    return letter(
        "allocation-renewed",
        str(number),
        f"The {title} allocation of {account} is renewed",
        f"Allocation {number} of {account} is followed by allocation {following} ({title}), from {_time(start)} "
        f"to {_time(end)}. There is nothing that you have to do.",
    )


def expired(number: int, account: str, title: str, end: datetime, lapsed: int) -> Letter:
    """An allocation has ended, and its books are closed."""
    return letter(
        "allocation-expired",
        f"{number}:{_stamp(end)}",
        f"The {title} allocation of {account} has ended",
        f"Allocation {number} ({title}) of {account} ended on {_time(end)}. {format_credits(lapsed)} credits that "
        "were left have lapsed.",
    )


#: What a person's home has beside their own allocations; see `hubquota.storage.purge_keep.reason_to_keep`.
_BY_PROJECT = (
    " While a project that you belong to has an allocation, they stay, too: servers that it pays start as ever."
)


def grace_begun(number: int, account: str, kind: AccountKind, end: datetime, until: datetime) -> Letter:
    """The last allocation of an account has ended: how long its files are kept."""
    return letter(
        "grace-begun",
        f"{number}:{_stamp(end)}",
        f"The files of {account} are kept until {_day(until)}",
        f"The last allocation of {account} ended on {_time(end)}. Its files are kept until {_time(until)} "
        "to be read, downloaded and deleted: copy what you want to keep, and clear up. With another "
        f"allocation before then, everything stays.{_BY_PROJECT if kind == 'user' else ''}",
    )


def grace_over(number: int, account: str, end: datetime, until: datetime) -> Letter:
    """The time is over for which files are kept after the end of the last allocation."""
    return letter(
        "grace-over",
        f"{number}:{_stamp(end)}",
        f"The files of {account} may be archived from now on",
        f"The last allocation of {account} ended on {_time(end)}, and its files were kept until {_time(until)}. "
        "They may be archived and cleared away from then on. Ask for an allocation to keep them.",
    )


def asked(number: int, account: str, tier: str, units: int, by: str, justification: str) -> Letter:
    """Somebody asks for an allocation."""
    return letter(
        "request-asked",
        str(number),
        f"{by} asks for an allocation of the tier {tier}",
        f"{by} asks for {format_credits(units)} credits of the tier {tier} for {account} (request {number}):\n\n"
        f"{justification}",
    )


def decided(
    number: int, account: str, tier: str, decision: str, *, by: str, reason: str, units: int, asked_for: int
) -> Letter:
    """A request is approved, perhaps cut, or denied."""
    if decision == "approved":
        what = f"approved: {format_credits(units)} credits"
        if units < asked_for:
            what += f" of the {format_credits(asked_for)} that were asked for"
    else:
        what = decision
    return letter(
        "request-decided",
        str(number),
        f"The request for the tier {tier} for {account} is {decision}",
        f"Request {number} for an allocation of the tier {tier} for {account} was {what}, by {by}."
        + (f"\n\n{reason}" if reason.strip() else ""),
    )


def changed(what: str, key: str, number: int, account: str, *, done: str, by: str, reason: str) -> Letter:
    """Something was done to an allocation.

    Args:
        what: the kind's second word, such as "suspended".
        key: the act's own key.
        number: the allocation.
        account: whose it is.
        done: what was done, as the end of a sentence that begins with the allocation.
        by: who did it.
        reason: why.
    """
    return letter(
        f"allocation-{what}",
        key,
        f"An allocation of {account} is {what}",
        f"Allocation {number} of {account} {done}, by {by}." + (f"\n\n{reason}" if reason.strip() else ""),
    )


def time_text(at: datetime | None) -> str:
    """Return a time as notices write it; of None, "never"."""
    return "never" if at is None else _time(at)


def letter(kind: str, key: str, subject: str, text: str) -> Letter:
    """Return a letter, with its subject cut to what fits."""
    # A name may be as long as it likes, and a subject may not.
    line = " ".join(subject.split())
    if len(line) > LONGEST_SUBJECT:
        line = f"{line[: LONGEST_SUBJECT - 1]}…"
    return Letter(kind, f"{kind}:{key}", line, text)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _stamp(at: datetime) -> int:
    return int(at.timestamp())
