"""Purges for the portal's tests: homes of people whose time is over, and plans at every stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hubquota.models.purge_settings import PurgeSettings
from hubquota.models.requests import Actor
from hubquota.purge.adapter import load_adapters
from hubquota.services.ledger import Ledger
from hubquota.services.purge import Purge, PurgeRegister
from hubquota.services.settingsfile import load_settings

from tests.platform.portal.world import Clock

ROOT = Actor("root (hubquota)", admin=True)
EDWIN = Actor("edwin", admin=True)
#: Days of grace: few, so that the tests' clock need not run far.
GRACES = {"explorer": 1}


class PurgeWorld:
    """A purge with real homes, by the tests' clock; its settings are in `file`."""

    def __init__(self, folder: Path, ledger: Ledger, clock: Clock) -> None:
        self.homes, self.file = folder / "homes", folder / "purge.yaml"
        self._archive, self._ledger, self._clock = folder / "archive", ledger, clock
        self.set()

    def set(self, **changes: Any) -> None:
        """Write the settings file; JSON is YAML."""
        settings = {
            "archive": str(self._archive),
            "limits": {"accounts": 100, "percent": 100},
            "adapters": {"home": {"type": "home-folder", "homes": str(self.homes)}},
            **changes,
        }
        self.file.write_text(json.dumps(settings))

    def service(self) -> Purge:
        """The purge, as the command makes it."""
        settings = load_settings(self.file, PurgeSettings)
        return Purge(self._ledger._engine, settings, load_adapters(settings), GRACES, self._clock)

    def expire(self, *names: str) -> None:
        """Open accounts with a home each, and let their terms and their grace go by."""
        for name in names:
            self._ledger.open_account(name, "explorer", 1_000, actor="test", term_days=1)
            home = self.homes / name
            home.mkdir(parents=True)
            (home / "notes.txt").write_text(f"{name}'s notes\n" * 200)
            (home / "image.asdf").write_bytes(bytes(3_000_000))
        self._clock.advance(days=3)
        self._ledger.sweep()

    def plan(self) -> tuple[int, str]:
        """Make a plan of what there is; return its number and digest."""
        draft = self.service().plan(by=ROOT, dry_run=False)
        assert draft.plan is not None
        assert draft.problems == ()
        return draft.plan, self.service().read(draft.plan)[0].digest

    def take(self, *, times: int = 6) -> None:
        """Make a plan, approve it, and carry it out."""
        number, digest = self.plan()
        self.service().approve(number, by=ROOT, digest=digest)
        for _ in range(times):
            self.service().advance(dry_run=False)


def begin_purges(purges: PurgeWorld, ledger: Ledger, clock: Clock) -> None:
    """Two plans, with things at several stages, and a hold. Others' time is over, too."""
    register = PurgeRegister.sharing(ledger)
    purges.expire("olga", "pavel", "quentin", "rosa", "sven")
    for name in ("quentin", "rosa", "sven"):
        register.hold(name, by=EDWIN, reason="Not yet")
    purges.set(notice_days=[], quarantine_days=1)
    purges.take(times=1)
    clock.advance(days=1)
    purges.service().advance(dry_run=False)
    (pavels,) = register.items_of("pavel")
    register.ask_back(pavels.id, by=ROOT)
    purges.service().advance(dry_run=False)
    purges.set(notice_days=[30, 1])
    register.release("quentin", by=EDWIN, reason="It is over")
    purges.take(times=1)
    register.hold("quentin", by=EDWIN, reason="On parental leave until the summer")


def last_plan(purges: PurgeWorld, ledger: Ledger) -> int:
    """A plan that waits for approval; return its number."""
    for name in ("rosa", "sven"):
        PurgeRegister.sharing(ledger).release(name, by=EDWIN, reason="It is over")
    return purges.plan()[0]
