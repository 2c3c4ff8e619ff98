"""Notices: posting them, and reading them in the hub. `hubquota.services.delivery` sends them elsewhere."""

from __future__ import annotations

from collections.abc import Collection

from hubquota.models.notices import Notice
from hubquota.services.base import Service
from hubquota.storage import notices
from hubquota.storage.engine import decision, reading


class Notices(Service):
    """What people are told."""

    def tell(self, person: str, *, kind: str, key: str, subject: str, text: str, optional: bool = False) -> bool:
        """Post a notice. A second one of the same key for the same person changes nothing.

        What happens in a transaction of its own posts with `hubquota.storage.notices.add` instead, so that
        neither is there without the other.

        Args:
            person: whom to tell.
            kind: what it is about, such as "allocation-expiring".
            key: says which notice this is.
            subject: one line.
            text: what there is to say, as plain text.
            optional: whether the person may choose not to be sent it.

        Returns:
            Whether it is new.

        Raises:
            ValueError: a part is empty, or the subject is longer than a line or 200 characters.
        """
        with decision(self._engine) as connection:
            return notices.add(
                connection,
                person=person,
                kind=kind,
                key=key,
                subject=subject,
                text=text,
                optional=optional,
                at=self._now(),
            )

    def notices(
        self,
        person: str,
        *,
        unread_only: bool = False,
        read_only: bool = False,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Notice]:
        """Return a person's notices, the newest first.

        Args:
            person: whose.
            unread_only: whether to leave out what they have seen.
            read_only: whether to leave out what they have not seen.
            before: only those older than the one of this number: the last one of the page before.
            limit: how many at most.
        """
        with reading(self._engine) as connection:
            return notices.page(
                connection, person, unread_only=unread_only, read_only=read_only, before=before, limit=limit
            )

    def unread(self, person: str) -> int:
        """Return how many notices a person has not seen."""
        with reading(self._engine) as connection:
            return notices.count_unread(connection, person)

    def mark_read(self, person: str, numbers: Collection[int] | None = None) -> int:
        """Note that a person has seen notices of theirs, or all if none are named.

        Returns:
            How many of them they had not seen before. Other people's are passed over.
        """
        with decision(self._engine) as connection:
            return notices.mark_read(connection, person, numbers, at=self._now())
