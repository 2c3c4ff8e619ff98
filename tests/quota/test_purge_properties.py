"""Whatever happens in whatever order: a purge never takes what somebody has come back for, and loses nothing.

The model does what users, administrators and runs do, with a clock that it turns and homes that are real
folders. A run may crash at every boundary between what is done and what is noted, and in the middle of an
archive, a deletion or a restoration.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hubquota.models.entitlement import state_in
from hubquota.models.ledger import Refused
from hubquota.models.moves import Mover
from hubquota.models.purge import ENDED, Act, Item, PurgeError, Stage, may_move
from hubquota.models.requests import Actor
from hubquota.models.states import State
from hubquota.models.states import may_move as may_go
from hubquota.purge import tree
from hubquota.purge.archive import Archives
from hubquota.services.ledger import Ledger
from hubquota.services.notices import Notices
from hubquota.services.purge import Purge
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.quota.purge_support import DAY, ROOT, Tree, expire, fill, make_purge, make_settings, snapshot, trees_in
from tests.quota.support import Clock

PEOPLE = ("ada", "bob")
QUARANTINE_DAYS, RESTORE_DAYS = 3, 20

_COMPILED: dict[Any, Any] = {}

TAKEN = {
    Stage.QUARANTINED: State.ARCHIVED,
    Stage.DELETED: State.ARCHIVED,
    Stage.PURGED: State.PURGED,
    Stage.RESTORED: State.GRACE,
}
ENDS = {State.GRACE, State.ARCHIVED, State.PURGED}
TIERS = load_tiers(Path(__file__).parent / "hub_tiers.yaml")

Step = tuple[str, dict[str, Any]]

#: How often each thing happened over all examples: a model in which nothing happens shows nothing.
SEEN: Counter[str] = Counter()


class Crash(BaseException):
    """The process ends here."""


class Model:
    """A platform with two people."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder, self.homes = folder, folder / "homes"
        self.clock = Clock()
        self.engine = make_engine(f"sqlite:///{shutil.copy(template, folder / 'ledger.sqlite')}")
        self.engine = self.engine.execution_options(compiled_cache=_COMPILED)
        self.ledger = Ledger(self.engine, self.clock)
        self.notices = Notices(self.engine, self.clock)
        self.crash_in: int | None = None
        self.purge = self.make_purge()
        self.archives = Archives(folder / "archive")
        #: What has to be somewhere, by person.
        self.trees: dict[str, list[Tree]] = {}
        #: The step at which somebody last came back, and that at which each plan was made.
        self.step = 0
        self.came_back = dict.fromkeys(PEOPLE, 0)
        self.planned: dict[int, int] = {}
        #: Everybody's newest allocation.
        self.newest: dict[str, int] = {}
        self.held: set[str] = set()
        self.running: dict[str, int] = {}
        self.stages: dict[int, Stage] = {}
        self.states: dict[str, State] = {}
        self.unpacked: dict[str, list[Tree]] = {}
        #: The things whose deletion was looked into.
        self.gone: set[int] = set()
        for name in PEOPLE:
            fill(self.homes / name)
            self.trees[name] = [snapshot(self.homes / name)]
        expire(self.ledger, self.clock, *PEOPLE)
        for name in PEOPLE:
            (first,) = self.ledger.allocations(name, lapsed=True)
            self.newest[name] = first.id

    def make_purge(self) -> Purge:
        made = make_settings(
            self.folder, notice_days=[5, 1], quarantine_days=QUARANTINE_DAYS, restore_days=RESTORE_DAYS
        )
        return make_purge(self.engine, self.clock, made, progress=self.tick, boundary=self.tick)

    def tick(self, _what: object) -> None:
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                self.crash_in = None
                raise Crash

    def crashing(self, after: int | None, act: Callable[[], Any]) -> None:
        """Do something; perhaps crash in the middle of it."""
        self.crash_in = after
        try:
            act()
        except Crash:
            SEEN["crash"] += 1
            self.purge = self.make_purge()
        self.crash_in = None

    # What people do ------------------------------------------------------------------------------------

    def touch(self, person: str, how: str) -> None:
        home = self.homes / person
        if not home.is_dir():
            return
        before = snapshot(home, restored=False)
        notes = home / "notes.txt"
        if how == "secretly" and notes.exists():
            status = notes.stat()
            notes.write_text("nancy")  # as long as it was, and the time is set back
            os.utime(notes, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif how == "rights" and notes.exists():
            notes.chmod(0o640 if notes.stat().st_mode & 0o7 else 0o644)
        else:
            (home / "new.txt").write_text(f"step {self.step}")
        self.trees[person].remove(before)
        self.trees[person].append(snapshot(home, restored=False))
        self.came_back[person] = self.step

    def sign_in(self, person: str) -> None:
        home = self.homes / person
        if not home.exists():
            home.mkdir()
            (home / "welcome.txt").write_text(f"Welcome at step {self.step}")
            self.trees[person].append(snapshot(home))

    def renew(self, person: str) -> None:
        end = self.clock.now.replace(microsecond=0)
        granted = self.ledger.grant(
            person, 1_000, actor="root", reason="x", key=f"{self.step}", end=end.replace(year=end.year + 1)
        )
        self.newest[person] = granted.id
        self.came_back[person] = self.step

    def expire(self, person: str) -> None:
        """Let everything that a person has end, and its grace be over."""
        if person in self.running:
            self.ledger.close(self.running.pop(person), reason="x")
        for one in self.ledger.allocations(person):
            if one.end is not None and one.end > self.clock.now:
                self.ledger.revoke(one.id, actor="root", reason="x", key=f"{self.step}-{one.id}")
        self.clock.turn(31 * DAY)
        self.ledger.sweep()

    def start(self, person: str) -> None:
        if person not in self.running:
            try:
                lease = self.ledger.admit(person, kind="server", key=f"server:{person}/", label="Server", rate=0)
            except Refused:
                return
            self.ledger.begin(lease.id)
            self.running[person] = lease.id

    def hold(self, person: str) -> None:
        self.purge.hold(person, by=ROOT, reason="x")
        self.held.add(person)
        self.came_back[person] = self.step

    def release(self, person: str) -> None:
        self.purge.release(person, by=ROOT, reason="It is over")
        self.held.discard(person)

    def turn(self, days: int) -> None:
        self.clock.turn(days * DAY)

    # What the platform does ----------------------------------------------------------------------------

    def plan(self, approve: bool) -> None:
        draft = self.purge.plan(by=ROOT, dry_run=False)
        assert draft.problems == ()
        if draft.plan is not None:
            self.planned[draft.plan] = self.step
            if approve:
                self.purge.approve(draft.plan, by=ROOT, digest=self.purge.read(draft.plan)[0].digest)

    def run(self, crash: int | None) -> None:
        def act() -> None:
            steps = self.purge.advance(dry_run=False)
            assert [step for step in steps if step.failure] == []
            # What was deleted comes back by itself with an allocation, and is told of once.
            for item in self.items():
                assert item.stage is not Stage.DELETED or item.allocation == self.newest[item.account]
            for step in steps:
                if step.act is Act.RESTORE and step.item.asked_by is None and step.item.stage is Stage.RESTORED:
                    SEEN["came back by itself"] += 1
                    told = [
                        notice.subject
                        for notice in self.notices.notices(step.item.account, limit=1_000)
                        if notice.key == f"{step.item.mark}:back"
                    ]
                    assert len(told) == 1
                    assert told[0].endswith("is back")

        self.crashing(crash, act)

    def restore(self, person: str, crash: int | None) -> None:
        def act() -> None:
            for item in self.purge.items_of(person):
                try:
                    back = self.purge.restore(item.id, by=Actor(person))
                except PurgeError:
                    continue
                assert back.stage in (Stage.RESTORED, Stage.LEFT_ALONE)
                SEEN["restored"] += 1

        self.crashing(crash, act)

    # What has to hold ----------------------------------------------------------------------------------

    def items(self) -> list[Item]:
        return [item for person in PEOPLE for item in self.purge.items_of(person)]

    def check(self) -> None:
        assert self.ledger.verify() == []
        self.check_states()
        purged: set[str] = set()
        for item in self.items():
            before = self.stages.get(item.id, Stage.PLANNED)
            if item.doing is Act.DISCARD:  # begun, and the crash came before its end
                purged.add(item.account)
            if before is item.stage:
                continue
            SEEN[item.stage] += 1
            self.check_moves(item)
            if item.stage is Stage.PURGED:
                assert item.account not in self.held
                purged.add(item.account)
            self.stages[item.id] = item.stage
        for person in PEOPLE:
            for one in list(self.trees[person]):
                if not self.is_somewhere(person, one):
                    assert person in purged, f"something of {person} is lost"
                    self.trees[person].remove(one)

    def check_states(self) -> None:
        """The state of the last allocation says where the files are, and changes only as the table says."""
        for person in PEOPLE:
            one = next(
                one for one in self.ledger.allocations(person, lapsed=True) if one.id == self.newest[person]
            )
            state = state_in(TIERS, one, self.clock.now)
            items = [item for item in self.purge.items_of(person) if item.allocation == one.id]
            last = max((item for item in items if item.stage in TAKEN), key=lambda item: item.plan, default=None)
            wanted = None if last is None else TAKEN[last.stage]
            if one.lapsed_at is not None:
                assert state is (wanted or State.GRACE)
                SEEN[f"allocation {state}"] += 1
            key, before = f"{person}:{one.id}", self.states.get(f"{person}:{one.id}", state)
            assert state is before or before not in ENDS or any(may_go(who, before, state) for who in Mover)
            self.states[key] = state

    def check_moves(self, item: Item) -> None:
        at: dict[Stage, datetime] = {}
        stage = Stage.PLANNED
        ends = {
            Act.NOTICE: Stage.NOTICED,
            Act.ARCHIVE: Stage.ARCHIVED,
            Act.QUARANTINE: Stage.QUARANTINED,
            Act.DELETE: Stage.DELETED,
            Act.DISCARD: Stage.PURGED,
        }
        for event in self.purge.events(item.plan, item.id):
            act, _, what = event.kind.partition(": ")
            if what != "ended" or act == Act.CLEAR:
                continue
            back = Stage.RESTORED if item.asked_by or stage is Stage.DELETED else Stage.LEFT_ALONE
            after = ends.get(Act(act)) or back
            mover = Mover.USER if item.asked_by and after is back else Mover.ENGINE
            assert after is stage or may_move(mover, stage, after), (stage, after)
            at[after] = event.at
            if after is Stage.DELETED:
                assert (event.at - at[Stage.QUARANTINED]).days >= QUARANTINE_DAYS
            if after is Stage.PURGED:
                assert (event.at - at[Stage.DELETED]).days >= RESTORE_DAYS
            stage = after
        assert stage is item.stage

    def check_begun(self) -> None:
        """Right after a run: nothing was taken of whoever had come back before it."""
        for item in self.items():
            if item.id in self.gone or not (item.stage is Stage.DELETED or item.doing is Act.DELETE):
                continue
            self.gone.add(item.id)
            SEEN["taken"] += 1
            assert self.came_back[item.account] <= self.planned[item.plan]
            assert item.account not in self.held
            assert item.account not in self.running

    def is_somewhere(self, person: str, wanted: Tree) -> bool:
        if wanted in trees_in(self.homes / person):
            return True
        for item in self.purge.items_of(person):
            if wanted in trees_in(self.homes / ".purge-quarantine" / item.mark) and item.doing is not Act.DELETE:
                return True
            if item.archive_kept and item.doing is not Act.DISCARD and wanted in self.archived(item):
                return True
        return False

    def archived(self, item: Item) -> list[Tree]:
        """Return the trees in a thing's archive, every byte of which agrees with its manifest."""
        if not item.archive_digest or not item.manifest_digest:
            return []
        digests = item.archive_digest, item.manifest_digest
        if not self.archives.manifest_path(item.mark).exists():
            return []
        self.archives.verify(item.mark, *digests, lambda _: None)
        if item.mark not in self.unpacked:
            with tempfile.TemporaryDirectory(dir=self.folder) as place:
                with (
                    closing(self.archives.read(item.mark, *digests, lambda _: None)) as entries,
                    tree.opened(place) as top,
                ):
                    tree.unpack(top, entries)
                self.unpacked[item.mark] = list(trees_in(Path(place)))
        return self.unpacked[item.mark]


people = st.sampled_from(PEOPLE)
crashes = st.none() | st.integers(0, 12)
STEPS = st.one_of(
    st.tuples(st.just("turn"), st.fixed_dictionaries({"days": st.integers(1, 8)})),
    st.tuples(
        st.just("touch"),
        st.fixed_dictionaries({"person": people, "how": st.sampled_from(["secretly", "rights", "new"])}),
    ),
    st.tuples(
        st.sampled_from(["sign_in", "renew", "expire", "start", "hold", "release"]),
        st.fixed_dictionaries({"person": people}),
    ),
    st.tuples(st.just("plan"), st.fixed_dictionaries({"approve": st.booleans()})),
    st.tuples(st.just("restore"), st.fixed_dictionaries({"person": people, "crash": crashes})),
)
#: Between any two things that happen, days pass and runs are made: they would hardly ever meet otherwise.
HISTORY = st.lists(st.tuples(STEPS, st.integers(0, 4), crashes), max_size=14)


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # to shrink a history takes hundreds of them, each with real folders
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(quiet=st.integers(0, 3), history=HISTORY)
def test_nothing_is_lost_that_somebody_came_back_for(
    sqlite_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quiet: int,
    history: list[tuple[Step, int, int | None]],
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing here loses its power, and disks are slow
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    model = Model(folder, sqlite_template)

    def do(name: str, **arguments: Any) -> None:
        model.step += 1
        getattr(model, name)(**arguments)
        if name == "run":
            model.check_begun()
        model.check()

    do("plan", approve=True)
    do("run", crash=None)
    # Whoever comes back late finds more taken.
    for _ in range(quiet):
        model.turn(5)
        do("run", crash=None)
    for (name, arguments), days, crash in history:
        do(name, **arguments)
        model.turn(days)
        do("run", crash=crash)
    # To the end, with nobody in between: what is left alone is back where it was.
    for _ in range(5):
        model.turn(3)
        do("run", crash=None)
    for person in PEOPLE:
        do("restore", person=person, crash=None)
    do("run", crash=None)
    for item in model.items():
        assert item.doing is None
        if item.stage in ENDED - {Stage.PURGED}:
            assert not (model.homes / ".purge-quarantine" / item.mark).exists()
    for person in PEOPLE:
        at_home = list(trees_in(model.homes / person))
        away = [item for item in model.purge.items_of(person) if item.stage in (Stage.QUARANTINED, Stage.DELETED)]
        assert not away
        assert all(one in at_home for one in model.trees[person])
    model.engine.dispose()
    shutil.rmtree(folder)


def test_the_model_saw_everything_happen() -> None:
    if not SEEN:  # this test was chosen alone
        return
    wanted = {"crash", "taken", "restored", Stage.RESTORED, Stage.LEFT_ALONE, Stage.DELETED, Stage.PURGED}
    wanted |= {"came back by itself", *(f"allocation {state}" for state in ENDS)}
    assert wanted <= set(SEEN)
