"""What speaks against an admission: whose account it is, what runs already, and caps; and what a refusal says."""

from __future__ import annotations

from hubquota.models.admissions import Wanted
from hubquota.models.caps import Cap
from hubquota.models.entitlement import suspended_text
from hubquota.models.kinds import WORKER
from hubquota.models.ledger import Lease, Limit
from hubquota.models.money import format_credits, format_price, price_of
from hubquota.models.words import duration_text, number_text
from hubquota.services.book import Book
from hubquota.storage import accounts, allocations, journal


def against(book: Book, who: str, holder: Lease | None, asked: Wanted) -> tuple[Limit, str] | None:
    """Return what speaks against an admission, or None; all but whether the balance pays for it.

    Args:
        book: the account that would pay, locked.
        who: who would run it.
        holder: the open lease that has the key already.
        asked: what is to start.
    """
    owner, cap = book.owner, None
    if owner.kind == "project":
        if book.role(who) is None:
            return "account", f"{who} is not a member of the project {owner.name}, whose credits it would use."
        cap = book.cap(who)
    elif who != owner.name:
        return "account", f"{owner.name} is the account of another user, and {who} cannot use its credits."
    if holder is not None:
        return "count", f"{holder.label} runs already, as {holder.key}."
    if asked.limit is not None:
        number = book.number(asked.kind)
        if number >= asked.limit:
            return "count", f"{owner.name} has {number} open of the kind {asked.kind}; the limit is {asked.limit}."
    if cap is not None or asked.limit_each is not None:
        if (found := _too_many(book, who, asked, cap)) is not None:
            return found
        if cap is not None and asked.rate:
            needed = asked.rate * asked.minimum_seconds
            if capped := capped_text(book, who, needed):
                return "cap", capped
    return None


def capped_text(book: Book, who: str, needed: int) -> str:
    """Return why a cap on a member of a project does not leave so many units, or nothing if it does."""
    cap = book.cap(who)
    if cap is None:
        return ""
    use = book.use(who, cap)
    if use.left is None or use.left >= needed:
        return ""
    return (
        f"Your cap on {book.owner.name} is {format_credits(cap.credits or 0)} credits a term: you have spent "
        f"{format_credits(use.spent, rounding='up')}, what you run takes "
        f"{format_credits(use.taken, rounding='up')}, and this needs {format_credits(needed, rounding='up')} "
        f"more. {_who_can_raise(book)}"
    )


def short_of(book: Book, label: str, rate: int, minimum_seconds: int) -> str:
    """Return why an account's balance does not pay for something's first seconds."""
    balance, name = book.balance(), book.owner.name
    needed = rate * minimum_seconds
    text = (
        f"Not enough credits: {label} costs {format_price(price_of(rate))} credits an hour and needs "
        f"{format_credits(needed, rounding='up')} for its first {duration_text(minimum_seconds)}, but {name} "
    )
    if needed <= balance.available and balance.posted:
        return f"{text}has them only until the end of an allocation, which comes before that."
    taken = format_credits(balance.accrued + balance.set_aside, rounding="up")
    text += (
        f"has {format_credits(balance.available)} available ({format_credits(balance.posted)} on the "
        f"account, {taken} of it taken by what runs now)."
    )
    return " ".join([text, *_suspended(book)])


def _too_many(book: Book, who: str, asked: Wanted, cap: Cap | None) -> tuple[Limit, str] | None:
    """Return what speaks against one more of its kind by the same person, or None."""
    capped = cap.workers if cap is not None and asked.kind == WORKER else None
    if capped is None and asked.limit_each is None:
        return None
    number = book.number(asked.kind, who)
    if capped is not None and number >= capped:
        text = f"Your cap on {book.owner.name} is {number_text(capped, 'worker')} at once and you run {number}."
        return "cap", f"{text} {_who_can_raise(book)}"
    if asked.limit_each is not None and number >= asked.limit_each:
        return "count", (
            f"You run {number_text(number, asked.kind)} on {book.owner.name} and one person may run "
            f"{asked.limit_each} at once. Stop one first."
        )
    return None


def _who_can_raise(book: Book) -> str:
    found = accounts.members(book.connection, book.owner.id, former=False)
    pis = ", ".join(one.name for one in found if one.role == "pi")
    whom = f"A PI of the project ({pis}) or an administrator" if pis else "An administrator"
    return f"{whom} can raise it."


def _suspended(book: Book) -> list[str]:
    """Say of what is suspended that it is, and why: its credits are not among those available."""
    sentences: list[str] = []
    for pool in book.pools():
        if pool.suspended and pool.id in book.in_term():
            allocation = allocations.find(book.connection, pool.id, book.now)
            if allocation is not None:
                why = journal.last_reason(book.connection, pool.id, "suspension")
                sentences.append(suspended_text(allocation, why))
    return sentences
