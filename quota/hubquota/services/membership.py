"""Giving somebody a part in a project, and ending it, each with a notice to them."""

from __future__ import annotations

from hubquota.models import limit_letters
from hubquota.models.ledger import Role
from hubquota.services.book import Book
from hubquota.storage import accounts, notices


def change_role(book: Book, member: str, role: Role | None, *, actor: str) -> None:
    """End what somebody is in a project, and make them something else, or nothing with None.

    They are told once, unless it is their own doing.
    """
    ended = accounts.end_membership(book.connection, book.owner.id, member, book.now, actor=actor)
    letter = None
    if role is not None:
        number = accounts.add_member(
            book.connection, book.owner.id, member=member, role=role, now=book.now, actor=actor
        )
        letter = limit_letters.member_added(number, book.owner.name, member, role, by=actor)
    elif ended is not None:
        letter = limit_letters.member_ended(ended, book.owner.name, member, by=actor)
    if letter is not None and actor != member:
        notices.post(book.connection, [(member, letter)], at=book.now)
