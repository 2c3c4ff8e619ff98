"""The commands of a purge, and what is left when they are killed at any moment."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from hubquota.cli import main
from hubquota.purge.archive import Archives
from hubquota.services.ledger import Ledger
from hubquota.services.purge import PurgeRegister
from hubquota.storage.engine import make_engine

from tests.quota.purge_support import DAY, fill, snapshot
from tests.quota.support import HERE, Clock

NAMES = ("ada", "bob", "eve", "ida")


@pytest.fixture
def place(sqlite_template: Path, tmp_path: Path) -> Path:
    """A folder with a ledger, homes and settings; everybody's grace is over since long."""
    clock = Clock()
    clock.turn(-200 * DAY)
    shutil.copy(sqlite_template, tmp_path / "ledger.sqlite")
    ledger = Ledger(make_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), clock)
    for name in NAMES:
        ledger.open_account(name, "explorer", 5, actor="test", term_days=1)
        fill(tmp_path / "homes" / name)
    clock.turn(2 * DAY)
    ledger.sweep()
    write_settings(tmp_path)
    return tmp_path


def write_settings(place: Path, **changes: object) -> None:
    given = {
        "notice_days": [],
        "quarantine_days": 0,
        "archive": str(place / "archive"),
        "limits": {"accounts": 10, "percent": 100},
        "adapters": {"home": {"type": "home-folder", "homes": str(place / "homes")}},
    }
    (place / "purge.yaml").write_text(yaml.safe_dump(given | changes))


def variables(place: Path) -> dict[str, str]:
    return {
        "HUBQUOTA_DATABASE_URL": f"sqlite:///{place / 'ledger.sqlite'}",
        "HUBQUOTA_TIERS": str(HERE.parents[1] / "hub_config" / "tiers.yaml"),
        "HUBQUOTA_PURGE": str(place / "purge.yaml"),
    }


def run(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["purge", *arguments], env=variables(place))


def approve(place: Path) -> None:
    assert run(place, "plan", "--really").exit_code == 0
    plan = json.loads(run(place, "show", "1", "--json").output)["plan"]
    assert run(place, "approve", "1", "--digest", plan["digest"]).exit_code == 0


def test_a_purge_by_command_from_its_plan_to_the_way_back(place: Path) -> None:
    before = {name: snapshot(place / "homes" / name) for name in NAMES}
    told = run(place, "plan").output
    assert "4 things of 4 accounts, 300.1 KiB together." in told
    assert "Nothing was written down. Add --really" in told
    assert run(place, "list").output == "  nothing\n"
    told = run(place, "plan", "--really").output
    assert "This is plan 1. Review it, then: hubquota purge approve 1 --digest " in told
    refused = run(place, "run", "1", "--really")
    assert (refused.exit_code, refused.output) == (
        1,
        "Error: Plan 1 cannot be carried out: Nobody has approved it. Nothing was changed.\n",
    )
    assert "Error: Plan 1 has the digest" in run(place, "approve", "1", "--digest", "12345678").output
    approve_line = told.splitlines()[-1].split("hubquota purge ")[1]
    # Another plan takes its place each time that one is made.
    assert run(place, *approve_line.split()).output == "Plan 1 is approved: 4 things, 300.1 KiB.\n"

    assert run(place, "hold", "bob", "--reason", "On leave").output == "bob is on hold.\n"
    assert "On leave" in run(place, "holds").output
    told = run(place, "run").output
    assert "archive" in told
    assert "Nothing was done. Add --really to do it." in told
    assert (place / "homes" / "ada").exists()
    steps = json.loads(run(place, "run", "--really", "--json").output)["steps"]
    assert [(step["item"]["account"], step["act"]) for step in steps] == [
        *(("ada", act) for act in ("archive", "quarantine", "delete")),
        ("bob", "leave"),
        *(("eve", act) for act in ("archive", "quarantine", "delete")),
        *(("ida", act) for act in ("archive", "quarantine", "delete")),
    ]
    assert sorted(path.name for path in (place / "homes").iterdir()) == [".purge-quarantine", "bob"]
    shown = run(place, "show", "1", "--events").output
    assert "bob was put on hold by" in shown
    assert "delete: ended" in shown

    assert "Only ada or an administrator may" in run(place, "restore", "ada", "--as", "eve", "--really").output
    assert "Nothing was brought back" in run(place, "restore", "ada", "--as", "ada").output
    assert run(place, "restore", "ada", "--as", "ada", "--really").exit_code == 0
    assert snapshot(place / "homes" / "ada") == before["ada"]
    assert "There is nothing of ada to bring back." in run(place, "restore", "ada").output
    assert run(place, "release", "bob", "--reason", "He is back").output == "bob is no longer on hold.\n"
    assert "| planned | noticed | engine |" in run(place, "stages").output


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"notice_day": [1]}, "purge.yaml: notice_day: extra inputs are not permitted"),
        ({"quarantine_days": -1}, "purge.yaml: quarantine_days: input should be greater than or equal to 0"),
        ({"adapters": {"home": {"homes": "/x"}}}, "adapters.home needs a type, such as home-folder"),
        ({"adapters": {"home": {"type": "x"}}}, "there is no adapter 'x'; allowed: home-folder, hub-record"),
    ],
)
def test_a_mistake_in_the_settings_is_told_in_a_sentence(
    place: Path, settings: dict[str, object], told: str
) -> None:
    write_settings(place, **settings)
    result = run(place, "plan")
    assert result.exit_code == 1
    assert told in result.output
    assert "Traceback" not in result.output


def test_a_run_that_is_killed_again_and_again_loses_nothing(place: Path) -> None:
    before = {name: snapshot(place / "homes" / name) for name in NAMES}
    for name in NAMES:
        for number in range(80):
            (place / "homes" / name / f"{number}").write_bytes(bytes([number]) * 20_000)
        before[name] = snapshot(place / "homes" / name)
    approve(place)
    chance = random.Random(3)
    killed = kill_until_done(place, chance, "run", "--really", wanted=lambda: taken(place) == set(NAMES))
    assert killed
    register = PurgeRegister(make_engine(f"sqlite:///{place / 'ledger.sqlite'}"))
    archives = Archives(place / "archive")
    for item in register.read(1)[1]:
        assert item.archive_digest
        assert item.manifest_digest
        archives.verify(item.mark, item.archive_digest, item.manifest_digest, lambda _: None)
    assert list((place / "homes" / ".purge-quarantine").iterdir()) == []
    left = [path.name for path in (place / "archive").iterdir() if path.name.startswith(".")]
    assert left == []
    back = place / "homes" / "ada"
    # This takes a moment only, and may be through before it is killed.
    kill_until_done(place, chance, "restore", "ada", "--really", wanted=back.exists)
    assert snapshot(back) == before["ada"]
    for name in NAMES[1:]:
        assert run(place, "restore", name, "--really").exit_code == 0
        assert snapshot(place / "homes" / name) == before[name]
    run(place, "run", "--really")
    assert list((place / "homes" / ".purge-quarantine").iterdir()) == []


def taken(place: Path) -> set[str]:
    register = PurgeRegister(make_engine(f"sqlite:///{place / 'ledger.sqlite'}"))
    return {item.account for item in register.read(1)[1] if item.stage == "deleted" and item.doing is None}


def kill_until_done(place: Path, chance: random.Random, *arguments: str, wanted: Callable[[], bool]) -> int:
    """Start a command and kill it at some moment after it has begun, until nothing is left to do."""
    command = [sys.executable, "-c", STARTED, "purge", *arguments]
    environment = variables(place) | {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    killed = 0
    for attempt in range(12):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        process.stdout.readline()  # everything is imported, and the work begins
        if attempt < 3:
            time.sleep(chance.uniform(0.02, 0.4))  # a moment of chance is what this is about
            process.kill()
            killed += process.wait() != 0
        else:
            assert process.wait(60) == 0
        process.stdout.close()
        if wanted():
            break
    assert wanted()
    return killed


#: The command, with a word on the standard output stream once its modules are loaded.
STARTED = "import hubquota.cli, sys; print('started', flush=True); sys.argv[0] = 'hubquota'; hubquota.cli.main()"
