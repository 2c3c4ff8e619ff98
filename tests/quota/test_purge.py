"""A purge from its plan to the end of the archive, and what it has to leave alone."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hubquota.models.ledger import UnknownAccountError
from hubquota.models.purge import (
    MEANING,
    MOVES,
    Act,
    PurgeError,
    Stage,
    StalePlanError,
    TooManyAccountsError,
    stages_table,
)
from hubquota.models.purge_settings import Limits, PurgeSettings
from hubquota.models.requests import Actor, NotAllowedError
from hubquota.purge.adapter import load_adapters
from hubquota.services.ledger import Ledger
from hubquota.services.notices import Notices
from hubquota.services.purge import Purge
from hubquota.services.requests import Requests
from hubquota.storage.engine import decision
from hubquota.storage.exclusive import exclusively
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from tests.quota.purge_support import (
    DAY,
    ROOT,
    expire,
    fill,
    make_purge,
    make_settings,
    plan_and_approve,
    snapshot,
)
from tests.quota.support import Clock


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    for name in ("ada", "bob"):
        fill(tmp_path / "homes" / name)
    return tmp_path / "homes"


@pytest.fixture
def url(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> str:
    """A database of SQLite; a test that asks for `new_url` as well gets one of each kind."""
    if "new_url" in request.fixturenames:
        new: Callable[[], str] = request.getfixturevalue("new_url")
        return new()
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ledger.sqlite')}"


@pytest.fixture
def purge(engine: Engine, clock: Clock, tmp_path: Path, ledger: Ledger, homes: Path) -> Purge:
    expire(ledger, clock, "ada", "bob")
    return make_purge(engine, clock, make_settings(tmp_path))


#: The days after a plan's first run on which something is due.
DUE = {0, 16, 27, 29, 30, 44, 134}


def days(clock: Clock, purge: Purge, number: int) -> list[tuple[int, str, str]]:
    """Run once a day, or for long on the days that matter; return on which day what was done, to whom."""
    done = []
    for day in range(number):
        for step in purge.advance(dry_run=False) if number < 7 or day in DUE else ():
            assert step.failure is None
            done.append((day, str(step.act), step.item.account))
        clock.turn(DAY)
    return done


def test_a_purge_from_its_plan_to_the_end_of_the_archive(
    new_url: object, purge: Purge, engine: Engine, clock: Clock, homes: Path, tmp_path: Path
) -> None:
    before = snapshot(homes / "bob")
    draft = purge.plan(by=ROOT)
    assert (draft.plan, purge.plans()) == (None, [])
    number = plan_and_approve(purge)
    plan, items = purge.read(number)
    assert [(item.account, item.name, item.stage) for item in items] == [
        ("ada", "ada", Stage.PLANNED),
        ("bob", "bob", Stage.PLANNED),
    ]
    assert items[0].seen.files == 8
    assert items[0].seen.bytes == plan.bytes // 2 == draft.found[0].seen.bytes > 76_800
    assert "ended on 2026-11-23; its grace is over" in items[0].why

    dry = purge.advance()
    assert [step.act for step in dry] == [Act.NOTICE, Act.NOTICE]
    assert purge.events(number)[-1].kind == "approve"
    purge.hold("bob", by=ROOT, reason="A paper is in review")
    done = days(clock, purge, 44 + 91)
    assert [(day, act) for day, act, who in done if who == "ada"] == [
        *((0, "notice"), (16, "notice"), (27, "notice"), (29, "notice")),
        *((30, "archive"), (30, "quarantine"), (44, "delete"), (134, "discard")),
    ]
    assert [(day, act) for day, act, who in done if who == "bob"] == [(0, "leave")]
    assert not (homes / "ada").exists()
    assert snapshot(homes / "bob") == before
    assert list((tmp_path / "archive").iterdir()) == []
    assert list((homes / ".purge-quarantine").iterdir()) == []
    ada, bob = purge.read(number)[1]
    assert (ada.stage, bob.stage) == (Stage.PURGED, Stage.LEFT_ALONE)
    assert bob.reason == "bob was put on hold by root: A paper is in review"

    told = Notices(engine, clock).notices("ada")
    assert [one.kind for one in told] == ["purge-deleted", "purge-quarantined", *["purge-planned"] * 4]
    planned = told[-1]
    assert planned.subject == "ada (home of ada, 75 KiB) will be archived on 2027-01-23"
    assert "To keep it, ask for a renewal" in planned.text
    assert Notices(engine, clock).notices("bob") == []
    with pytest.raises(PurgeError, match="the time for that is over"):
        purge.restore(ada.id, by=ROOT)


@pytest.mark.parametrize("after", [31, 45], ids=["from the quarantine", "from the archive"])
def test_an_owner_brings_back_what_was_taken(
    new_url: object, purge: Purge, clock: Clock, homes: Path, after: int
) -> None:
    before, of_bob = snapshot(homes / "ada"), snapshot(homes / "bob")
    number = plan_and_approve(purge)
    days(clock, purge, after)
    ada, bob = purge.read(number)[1]
    assert not (homes / "ada").exists()
    with pytest.raises(NotAllowedError, match="Only ada or an administrator"):
        purge.restore(ada.id, by=Actor("bob"))
    back = purge.restore(ada.id, by=Actor("ada"))
    assert (back.stage, back.place) == (Stage.RESTORED, str(homes / "ada"))
    assert snapshot(homes / "ada") == before
    assert purge.restore(ada.id, by=Actor("ada")) == purge.read(number)[1][0]

    # The portal only asks; the next run brings it back, beside what its owner has made by then.
    (homes / "bob").mkdir()
    (homes / "bob" / "new").write_text("new")
    purge.ask_back(bob.id, by=Actor("bob"))
    days(clock, purge, 1)
    bob = purge.read(number)[1][1]
    assert (bob.stage, bob.asked_by) == (Stage.RESTORED, "bob")
    assert bob.place == str(homes / "bob" / f"restored-{bob.mark}")
    assert snapshot(Path(bob.place)) == of_bob
    assert (homes / "bob" / "new").read_text() == "new"
    assert list((homes / ".purge-quarantine").iterdir()) == []


def renew(ledger: Ledger, purge: Purge, homes: Path, clock: Clock) -> None:
    ledger.grant("ada", 5, actor="root", reason="x", key="x", end=clock.now + timedelta(days=1))


def touch(ledger: Ledger, purge: Purge, homes: Path, clock: Clock) -> None:
    for home in (homes / "ada", homes / ".purge-quarantine" / purge.items_of("ada")[0].mark):
        if home.exists():
            status = (home / "deep" / "er" / "data.bin").stat()
            (home / "deep" / "er" / "data.bin").write_bytes(bytes(76_800))
            os.utime(home / "deep" / "er" / "data.bin", ns=(status.st_atime_ns, status.st_mtime_ns))


def hold(ledger: Ledger, purge: Purge, homes: Path, clock: Clock) -> None:
    purge.hold("ada", by=ROOT, reason="x")


def ask(ledger: Ledger, purge: Purge, homes: Path, clock: Clock) -> None:
    Requests(ledger._engine, clock).ask("ada", "explorer", 5, justification="x", by=Actor("ada"))


def serve(ledger: Ledger, purge: Purge, homes: Path, clock: Clock) -> None:
    ledger.open_project("survey", "team", pi="eve", actor="root")
    ledger.set_member("survey", "ada", "member", actor="eve")
    ledger.grant("survey", 5, actor="root", reason="x", key="y")
    lease = ledger.admit("survey", kind="server", key="server:ada/", label="Server", rate=0, person="ada")
    ledger.begin(lease.id)
    ledger.set_member("survey", "ada", None, actor="eve")


def join(ledger: Ledger, purge: Purge, homes: Path, clock: Clock) -> None:
    ledger.open_project("survey", "team", pi="eve", actor="root")
    ledger.set_member("survey", "ada", "member", actor="eve")
    ledger.grant("survey", 5, actor="root", reason="x", key="y")


def stop(ledger: Ledger, purge: Purge, homes: Path, clock: Clock) -> None:
    purge.cancel(1, by=ROOT, reason="A mistake")


@pytest.mark.parametrize(
    ("come_back", "why"),
    [
        (renew, "ada was granted an allocation since the plan was made"),
        (touch, "ada (has changed since the plan was made|was changed in the quarantine)"),
        (hold, "ada was put on hold by root: x"),
        (ask, "ada has asked for an allocation with request 1, which nobody has decided"),
        (serve, "ada has something running: Server"),
        (join, "ada is a member of the project survey, which has an allocation"),
        (stop, "The plan was cancelled by root: A mistake"),
    ],
    ids=["renewed", "touched", "held", "asked", "served", "joined", "cancelled"],
)
@pytest.mark.parametrize("after", [0, 40], ids=["before a notice", "in quarantine"])
def test_who_comes_back_before_the_end_is_left_alone(
    purge: Purge,
    ledger: Ledger,
    clock: Clock,
    homes: Path,
    come_back: Callable[..., None],
    why: str,
    after: int,
) -> None:
    number = plan_and_approve(purge)
    days(clock, purge, after)
    come_back(ledger, purge, homes, clock)
    days(clock, purge, 60)
    ada = purge.read(number)[1][0]
    assert ada.stage is Stage.LEFT_ALONE
    assert ada.reason is not None
    assert re.fullmatch(why, ada.reason)
    assert (homes / "ada" / "deep" / "er" / "data.bin").stat().st_size == 76_800
    assert not (homes / ".purge-quarantine" / ada.mark).exists()


def test_nobody_is_planned_who_is_not_through_with_every_grace(
    purge: Purge, ledger: Ledger, clock: Clock, homes: Path
) -> None:
    purge.hold("bob", by=ROOT, reason="x")
    ledger.open_account("eve", "explorer", 5, actor="test", term_days=1)
    ledger.open_account("max", "unknown", 5, actor="test", term_days=1)
    ledger.open_account("ida", "explorer", 0, actor="test")  # never had an allocation
    for name in ("eve", "max", "ida"):
        fill(homes / name)
    clock.turn(30 * DAY)
    ledger.sweep()
    assert [one.account for one in purge.plan(by=ROOT).found] == ["ada"]
    clock.turn(DAY)
    assert [one.account for one in purge.plan(by=ROOT).found] == ["ada", "eve"]
    purge.release("bob", by=ROOT, reason="It is over")
    assert [one.account for one in purge.plan(by=ROOT).found] == ["ada", "bob", "eve"]


def test_a_plan_that_is_stale_changes_nothing(purge: Purge, clock: Clock, homes: Path) -> None:
    before = snapshot(homes)
    first = purge.plan(by=ROOT, dry_run=False).plan
    second = purge.plan(by=ROOT, dry_run=False).plan
    assert first is not None
    assert second is not None
    digest = purge.read(second)[0].digest
    with pytest.raises(StalePlanError, match="Plan 2 has replaced it"):
        purge.approve(first, by=ROOT, digest=digest)
    with pytest.raises(StalePlanError, match="Plan 2 has the digest"):
        purge.approve(second, by=ROOT, digest="00000000")
    with pytest.raises(StalePlanError, match="Nobody has approved it. Nothing was changed"):
        purge.advance([second], dry_run=False)
    with pytest.raises(NotAllowedError):
        purge.approve(second, by=Actor("ada"), digest=digest)
    clock.turn(7 * DAY)
    with pytest.raises(StalePlanError, match="could be approved until"):
        purge.approve(second, by=ROOT, digest=digest)
    with pytest.raises(PurgeError, match="There is no plan 9"):
        purge.advance([9], dry_run=False)
    assert purge.advance(dry_run=False) == []
    assert snapshot(homes) == before
    assert {item.stage for item in purge.read(second)[1]} == {Stage.PLANNED}


def test_two_plans_are_never_at_work_on_one_thing(purge: Purge, clock: Clock) -> None:
    plan_and_approve(purge)
    assert purge.plan(by=ROOT, dry_run=False).found == ()
    purge.cancel(1, by=ROOT, reason="x")
    purge.advance(dry_run=False)
    assert len(purge.plan(by=ROOT, dry_run=False).found) == 2


def test_a_mistake_cannot_empty_the_platform(
    engine: Engine, clock: Clock, tmp_path: Path, ledger: Ledger, homes: Path
) -> None:
    expire(ledger, clock, "ada", "bob")
    purge = make_purge(engine, clock, make_settings(tmp_path, limits={"accounts": 50, "percent": 50}))
    number = purge.plan(by=ROOT, dry_run=False).plan
    assert number is not None
    digest = purge.read(number)[0].digest
    with pytest.raises(TooManyAccountsError, match="would purge 2 accounts of 2, and at most 1"):
        purge.approve(number, by=ROOT, digest=digest)
    purge.approve(number, by=ROOT, digest=digest, override="The course is over")
    assert len(days(clock, purge, 31)) == 12
    assert purge.read(number)[0].override == "The course is over"
    assert Limits().allowed(10) == 1
    assert Limits().allowed(400) == 20
    assert Limits().allowed(100_000) == 50


def test_limits_that_were_lowered_count_for_a_run(
    purge: Purge, engine: Engine, clock: Clock, tmp_path: Path, homes: Path
) -> None:
    plan_and_approve(purge)
    days(clock, purge, 30)
    lower = make_purge(engine, clock, make_settings(tmp_path, limits={"accounts": 1}))
    with pytest.raises(TooManyAccountsError, match="This run would take things of 2 accounts"):
        lower.advance(dry_run=False)
    assert (homes / "ada").exists()


def test_a_late_run_still_gives_the_last_notice_its_days(purge: Purge, clock: Clock, homes: Path) -> None:
    plan_and_approve(purge)
    assert len(days(clock, purge, 1)) == 2
    clock.turn(100 * DAY)
    assert [(day, act) for day, act, who in days(clock, purge, 3) if who == "ada"] == [
        (0, "notice"),
        (1, "archive"),
        (1, "quarantine"),
    ]
    assert purge.read(1)[1][0].told_days == 1


def test_nothing_is_deleted_whose_archive_is_damaged(
    purge: Purge, clock: Clock, homes: Path, tmp_path: Path
) -> None:
    before = snapshot(homes / "ada")
    number = plan_and_approve(purge)
    days(clock, purge, 44)
    ada = purge.read(number)[1][0]
    archive = tmp_path / "archive" / f"{ada.mark}.tar.gz"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    days(clock, purge, 5)
    ada, bob = purge.read(number)[1]
    assert (ada.stage, bob.stage) == (Stage.LEFT_ALONE, Stage.DELETED)
    assert "is not the one that was written" in (ada.reason or "")
    assert snapshot(homes / "ada") == before


def test_what_somebody_took_out_of_the_quarantine_comes_from_the_archive(
    purge: Purge, clock: Clock, homes: Path
) -> None:
    before = snapshot(homes / "ada")
    number = plan_and_approve(purge)
    days(clock, purge, 31)
    ada = purge.read(number)[1][0]
    shutil.rmtree(homes / ".purge-quarantine" / ada.mark)
    assert purge.restore(ada.id, by=Actor("ada")).stage is Stage.RESTORED
    assert snapshot(homes / "ada") == before


def test_an_item_at_work_elsewhere_is_passed_over(new_url: object, purge: Purge, engine: Engine) -> None:
    plan_and_approve(purge)
    with exclusively(engine, 0x7075_7267, 1) as free:
        assert free
        ada, bob = purge.advance(dry_run=False)
    assert (ada.failure, bob.failure) == ("Another process is at work on it.", None)


def test_a_pi_holds_for_their_people_only(purge: Purge, ledger: Ledger) -> None:
    ledger.open_project("survey", "team", pi="eve", actor="root")
    ledger.set_member("survey", "ada", "member", actor="eve")
    assert purge.hold("ada", by=Actor("eve"), reason="She is on leave")
    assert not purge.hold("ada", by=Actor("eve"), reason="again")
    assert purge.hold("survey", by=Actor("eve"), reason="x")
    with pytest.raises(NotAllowedError):
        purge.hold("bob", by=Actor("eve"), reason="x")
    with pytest.raises(NotAllowedError):
        purge.release("ada", by=Actor("ada"), reason="It is over")
    with pytest.raises(UnknownAccountError):
        purge.hold("nobody", by=ROOT, reason="x")
    with pytest.raises(ValueError, match="reason"):
        purge.hold("bob", by=ROOT, reason=" ")
    assert [(one.account, one.placed_by) for one in purge.holds()] == [("ada", "eve"), ("survey", "eve")]
    assert purge.release("ada", by=Actor("eve"), reason="She is back")
    assert [(one.lifted_by, one.lifted_reason) for one in purge.holds(lifted=True)] == [
        ("eve", "She is back"),
        (None, None),
    ]
    with pytest.raises(ValueError, match="lifted with a reason"):
        purge.release("survey", by=ROOT, reason=" ")


def test_what_was_done_cannot_be_changed(new_url: object, purge: Purge, engine: Engine) -> None:
    plan_and_approve(purge)
    for statement in ("UPDATE purge_event SET text = ''", "DELETE FROM purge_event"):
        with pytest.raises(DatabaseError, match="append-only"), decision(engine) as connection:
            connection.execute(text(statement))


def test_the_table_is_rendered_with_every_move() -> None:
    table = stages_table()
    assert table.count("\n| ") == len(Stage) + len(MOVES) + 3
    assert set(MEANING) == set(Stage)


def test_the_settings_in_the_documentation_are_right() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operator.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(notice_days.*?)```", page, re.DOTALL)
    settings = PurgeSettings.model_validate(yaml.safe_load(text))
    assert settings.notice_days == PurgeSettings.model_fields["notice_days"].default
    assert [options["type"] for options in settings.adapters.values()] == [
        "home-folder",
        "object-prefix",
        "romanhub.local.purging:community",
        "hub-record",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"type": "home-folders", "homes": "/x"}, "there is no adapter 'home-folders'; allowed: home-folder, "),
        ({"type": "home-folder"}, "adapters.mine: .*homes"),
        ({"type": "home-folder", "homes": "/x", "folder_of": "nowhere:f"}, "'nowhere:f' cannot be imported"),
        ({"type": "pathlib:Path"}, "does not make an adapter"),
    ],
)
def test_an_adapter_that_cannot_be_made_is_told(options: dict[str, Any], told: str) -> None:
    settings = PurgeSettings(archive="/x", adapters={"mine": options})
    with pytest.raises(PurgeError, match=f"(?s){told}"):
        load_adapters(settings)


def test_a_package_can_offer_an_adapter_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "more_purge-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: more-purge\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[hubquota.purge_adapters]\nmine = more_purge:Mine\n")
    (tmp_path / "more_purge.py").write_text(
        "from hubquota.purge.home import HomeFolders\n"
        "from pathlib import Path\n"
        "class Mine(HomeFolders):\n"
        "    def __init__(self, where: str) -> None:\n"
        "        super().__init__(Path(where))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for kind in ("mine", "more_purge:Mine"):
        settings = PurgeSettings(archive="/x", adapters={"own": {"type": kind, "where": str(tmp_path)}})
        assert type(load_adapters(settings)["own"]).__name__ == "Mine"
