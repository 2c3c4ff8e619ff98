"""What is done to one thing: each act has a begin in the ledger, something that can be repeated, and an end."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from hubquota.models.purge import Act, Item, Stage, TouchedError, notice_to_give
from hubquota.models.words import bytes_text, number_text
from hubquota.services.purge_base import PurgeService
from hubquota.storage import accounts, notices, purge, purge_ends
from hubquota.storage.engine import decision
from hubquota.storage.times import seconds


class Acts(PurgeService):
    """Does one act after another; `hubquota.services.purge_steps` decides which."""

    def begin(self, connection: Connection, item: Item, act: Act, reason: str | None) -> None:
        """Note the begin of an act, with why a thing is brought back or left alone."""
        facts: dict[str, Any] = {"doing": act}
        if act is Act.ARCHIVE:
            facts["archive_kept"] = True  # or perhaps a part of one: it is cleared up in any case
        if act in (Act.LEAVE, Act.GIVE_BACK, Act.RESTORE):
            facts["reason"] = reason
        purge.set_item(connection, item.id, **facts)
        again = item.doing is act
        self._note(connection, item, f"{act}: begun", "Begun once more." if again else "Begun.")

    def note_touched(self, item: Item, reason: str) -> None:
        """Note that a thing is not what was seen of it, in the middle of an act."""
        with decision(self._engine) as connection:
            purge.set_item(connection, item.id, reason=reason)
            self._note(connection, item, "touched", f"{reason[:1].upper()}{reason[1:]}.")

    def carry_out(self, item: Item, act: Act) -> Item:
        """Do what was begun, and note its end; return the thing as it is then.

        Raises:
            TouchedError: it is not what was seen of it. Nothing was taken.
            OSError, PurgeError: it could not be done; it is done again by the next run.
        """
        ends = {
            Act.NOTICE: self._notice,
            Act.ARCHIVE: self._archive,
            Act.QUARANTINE: self._quarantine,
            Act.DELETE: self._delete,
            Act.DISCARD: self._discard,
            Act.LEAVE: self._leave,
            Act.GIVE_BACK: self._bring_back,
            Act.RESTORE: self._bring_back,
            Act.CLEAR: self._clear,
        }
        text, facts = ends[act](item, act)
        self._boundary(f"{act}: done")
        now = self._clock()
        told = facts.pop("told", None)
        with decision(self._engine) as connection:
            accounts.lock_id(connection, item.account_id)
            if "stage" in facts:
                facts["stage_at"] = seconds(now)
            purge.set_item(connection, item.id, doing=None, **facts)
            self._note(connection, item, f"{act}: ended", text)
            if facts.get("stage") in purge_ends.DECIDING:
                purge_ends.follow(connection, item.account_id)
            if told is not None:
                self._tell(connection, item, *told)
            ended = purge.find_item(connection, item.id)
        self._boundary(f"{act}: recorded")
        if act in (Act.GIVE_BACK, Act.RESTORE):
            self._adapter(item).finish(item.thing)
        assert ended is not None
        return ended

    # The acts: each returns what is noted of it, and what is then known of the thing --------------------

    def _notice(self, item: Item, _act: Act) -> tuple[str, dict[str, Any]]:
        now = self._clock()
        days = notice_to_give(item, now, self._settings.notice_days)
        if days is None:  # it waited for the lock while another run gave it
            return "There was nothing to tell any more.", {}
        due = max(item.due or now, now + timedelta(days=days))
        when = f"{due:%Y-%m-%d}"
        text = (
            f"{item.why} {_named(item)} will be moved to an archive on {when}, and deleted "
            f"{number_text(self._settings.quarantine_days, 'day')} after that. It can be restored for another "
            f"{number_text(self._settings.restore_days, 'day')}.\n\n"
            "To keep it, ask for a renewal or a new allocation, or change a file in it, before that day. Whoever "
            "runs this platform can also put the account on hold."
        )
        subject = f"{_named(item)} will be archived on {when}"
        return f"Told {number_text(days, 'day')} ahead of {when}.", {
            "stage": Stage.NOTICED,
            "told_days": days,
            "due_at": seconds(due),
            "told": (f"{days}", "purge-planned", subject, text),
        }

    def _archive(self, item: Item, _act: Act) -> tuple[str, dict[str, Any]]:
        adapter = self._adapter(item)
        with self._archives.write(item.mark, self._progress) as (sink, written):
            adapter.archive(item.thing, sink)
            seen = adapter.look(item.thing)
            if seen is None or seen.fingerprint != item.seen.fingerprint:
                raise TouchedError(f"{item.name} has changed while it was archived")
        (one,) = written
        return f"{bytes_text(one.bytes)} in the archive, SHA-256 {one.digest}.", {
            "stage": Stage.ARCHIVED,
            "archive_digest": one.digest,
            "manifest_digest": one.manifest_digest,
            "archive_bytes": one.bytes,
            "due_at": None,
        }

    def _quarantine(self, item: Item, _act: Act) -> tuple[str, dict[str, Any]]:
        found = self._adapter(item).quarantine(item.thing, item.seen.fingerprint)
        due = self._clock() + timedelta(days=self._settings.quarantine_days)
        text = (
            f"{item.why} {_named(item)} was moved aside and will be deleted on {due:%Y-%m-%d}. To have it back, "
            f"ask whoever runs this platform for number {item.id}. After that day it can be restored for another "
            f"{number_text(self._settings.restore_days, 'day')}."
        )
        return f"It will be deleted on {due:%Y-%m-%d}.", {
            "stage": Stage.QUARANTINED,
            "quarantine_print": found,
            "due_at": seconds(due),
            "told": ("quarantined", "purge-quarantined", f"{_named(item)} was moved aside", text),
        }

    def _delete(self, item: Item, _act: Act) -> tuple[str, dict[str, Any]]:
        self._adapter(item).delete(item.thing, self._progress)
        due = self._clock() + timedelta(days=self._settings.restore_days)
        text = (
            f"{_named(item)} was deleted. Its archive is kept until {due:%Y-%m-%d}. To have it restored, ask "
            f"whoever runs this platform for number {item.id} before that day."
        )
        return f"It can be restored until {due:%Y-%m-%d}.", {
            "stage": Stage.DELETED,
            "due_at": seconds(due),
            "told": ("deleted", "purge-deleted", f"{_named(item)} was deleted and can be restored", text),
        }

    def _discard(self, item: Item, _act: Act) -> tuple[str, dict[str, Any]]:
        self._archives.remove(item.mark)
        facts = {"stage": Stage.PURGED, "archive_kept": False, "active": False, "due_at": None}
        return "The archive was removed.", facts

    def _leave(self, item: Item, _act: Act) -> tuple[str, dict[str, Any]]:
        facts = {"stage": Stage.LEFT_ALONE, "active": False, "due_at": None}
        return f"It is left alone: {item.reason}.", facts

    def _bring_back(self, item: Item, act: Act) -> tuple[str, dict[str, Any]]:
        adapter = self._adapter(item)
        due: datetime | None = None
        if act is Act.GIVE_BACK:
            place = adapter.give_back(item.thing)
        else:
            assert item.archive_digest is not None
            assert item.manifest_digest is not None
            digests = item.archive_digest, item.manifest_digest
            with closing(self._archives.read(item.mark, *digests, self._progress)) as entries:
                place = adapter.restore(item.thing, entries)
            # What was rebuilt is not the original: the archive stays for as long as it would have.
            due = self._clock() + timedelta(days=self._settings.restore_days)
        restored = item.asked_by is not None or item.stage is Stage.DELETED
        stage = Stage.RESTORED if restored else Stage.LEFT_ALONE
        facts: dict[str, Any] = {"stage": stage, "active": False, "place": place}
        facts["due_at"] = None if due is None else seconds(due)
        if item.asked_by is None and place:
            text = f"{_named(item)} is back in {place}: {item.reason}."
            facts["told"] = ("back", "purge-undone", f"{_named(item)} is back", text)
        return f"It is back{f' in {place}' if place else ''}: {item.reason}.", facts

    def _clear(self, item: Item, _act: Act) -> tuple[str, dict[str, Any]]:
        if item.stage is not Stage.PURGED:
            self._adapter(item).finish(item.thing)
        self._archives.remove(item.mark)
        return "Its archive was removed.", {"archive_kept": False, "due_at": None}

    # Parts -------------------------------------------------------------------------------------------

    def _note(self, connection: Connection, item: Item, kind: str, text: str) -> None:
        actor = item.asked_by or "hubquota"
        purge.note(connection, item.plan, item.id, kind=kind, actor=actor, text=text, now=self._now())

    def _tell(self, connection: Connection, item: Item, key: str, kind: str, subject: str, text: str) -> None:
        people = [item.account]
        if item.kind == "project":
            members = accounts.members(connection, item.account_id, former=False)
            people = [member.name for member in members if member.role == "pi"]
        for person in people:
            notices.add(
                connection,
                person=person,
                kind=kind,
                key=f"{item.mark}:{key}",
                subject=subject[:200],
                text=text,
                at=self._now(),
            )


def _named(item: Item) -> str:
    if not item.seen.bytes:
        return f"{item.name} ({item.adapter} of {item.account})"
    return f"{item.name} ({item.adapter} of {item.account}, {bytes_text(item.seen.bytes)})"
