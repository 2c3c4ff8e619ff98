"""What the tests of the purge share: homes with odd things in them, and a way to compare trees."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hubquota.models.purge_settings import PurgeSettings
from hubquota.models.requests import Actor
from hubquota.purge.adapter import load_adapters
from hubquota.services.ledger import Ledger
from hubquota.services.purge import Purge
from sqlalchemy import Engine

from tests.quota.support import Clock

ROOT = Actor("root", admin=True)
GRACES = {"explorer": 30, "team": 30}
DAY = 86_400

#: A tree: for each path below the top what is there.
Tree = dict[bytes, tuple[Any, ...]]

#: A folder in a home to which something was restored.
_RESTORED = b"restored-"


def fill(home: Path) -> None:
    """Make a home with whatever people have in theirs."""
    home.mkdir(parents=True)
    (home / "notes.txt").write_text("Nancy")
    (home / "deep" / "er").mkdir(parents=True)
    (home / "deep" / "er" / "data.bin").write_bytes(bytes(range(256)) * 300)
    (home / "empty").mkdir(mode=0o700)
    (home / os.fsdecode(b"odd \xff\n\xfename")).write_bytes(b"odd")
    (home / "outside").symlink_to("/etc/passwd")
    (home / "dangling").symlink_to(os.fsdecode(b"no\xffwhere"))
    os.link(home / "notes.txt", home / "deep" / "same")
    os.mkfifo(home / "pipe")
    (home / "locked").write_text("secret")
    (home / "locked").chmod(0o000)
    os.utime(home / "notes.txt", ns=(1, 1_234_567_890_123_456_789))


def snapshot(folder: Path, *, restored: bool = True) -> Tree:
    """Return everything there is to compare about a tree; without `restored`, not what was restored into it."""
    top, found, groups = os.fsencode(folder), Tree(), dict[int, bytes]()
    for where, folders, files in os.walk(top):
        if where == top and not restored:
            folders[:] = [name for name in folders if not name.startswith(_RESTORED)]
        for name in sorted([*folders, *files]):
            path = os.path.join(where, name)  # noqa: PTH118  bytes
            status, below = os.lstat(path), os.path.relpath(path, top)
            facts: list[Any] = [status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns]
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:  # noqa: PTH123  bytes
                    facts.append(file.read())
                facts.append(groups.setdefault(status.st_ino, below))
            elif stat.S_ISLNK(status.st_mode):
                facts.append(os.readlink(path))  # noqa: PTH115  bytes
            found[below] = tuple(facts)
    return found


def trees_in(folder: Path) -> Iterator[Tree]:
    """Yield the tree in a folder, and those that were restored into it."""
    if folder.is_dir():
        yield snapshot(folder, restored=False)
        for inner in folder.iterdir():
            if os.fsencode(inner.name).startswith(_RESTORED):
                yield from trees_in(inner)


def make_settings(folder: Path, **changes: Any) -> PurgeSettings:
    """Return settings for homes in a folder; most limits are out of the way."""
    given: Mapping[str, Any] = {
        "archive": str(folder / "archive"),
        "limits": {"accounts": 100, "percent": 100},
        "adapters": {"home": {"type": "home-folder", "homes": str(folder / "homes")}},
    }
    return PurgeSettings.model_validate({**given, **changes})


def make_purge(engine: Engine, clock: Clock, settings: PurgeSettings, **more: Callable[..., None]) -> Purge:
    """Return a purge by a clock that the test turns."""
    return Purge(engine, settings, load_adapters(settings), GRACES, clock, **more)


def expire(ledger: Ledger, clock: Clock, *names: str) -> None:
    """Open accounts, and turn the clock until their grace is over."""
    for name in names:
        ledger.open_account(name, "explorer", 1_000, actor="test", term_days=1)
    clock.turn(32 * DAY)
    ledger.sweep()


def plan_and_approve(purge: Purge) -> int:
    """Make a plan of what there is, and approve it."""
    draft = purge.plan(by=ROOT, dry_run=False)
    assert draft.plan is not None
    assert draft.problems == ()
    purge.approve(draft.plan, by=ROOT, digest=purge.read(draft.plan)[0].digest)
    return draft.plan
