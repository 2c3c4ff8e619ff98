"""The first steps of `make run`: which interpreter, and whether an environment is still as its lock says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from romanhub.local import environments
from romanhub.local.environments import STAMP, Environment, SetupError


def test_a_private_folder_is_not_reachable_by_others(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    assert not environments.others_can_reach(tmp_path / "closed" / "inside")
    assert environments.others_can_reach(Path("/usr/bin/env"))
    assert environments.others_can_reach(Path("/usr/bin/not-there"))


def test_the_interpreter_for_other_users_can_be_run_by_them() -> None:
    python = environments.find_python(for_other_users=True)
    assert environments.others_can_reach(python)


def test_an_environment_is_current_until_its_lock_changes(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("a==1\n")
    environment = Environment(tmp_path / "env", (lock,))
    python = Path(sys.executable)
    assert not environment.is_current(python)
    environment.path.mkdir()
    (environment.path / STAMP).write_text(environment.digest(python))
    assert environment.is_current(python)
    assert not environment.is_current(Path("/usr/bin/another"))
    lock.write_text("a==2\n")
    assert not environment.is_current(python)


def test_a_disk_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "ROOM_NEEDED", 10**18)
    with pytest.raises(SetupError, match="GB free and the set-up needs"):
        environments.check_room(tmp_path / "not" / "there" / "yet")


def test_a_failed_step_is_one_message_without_a_stamp(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("a==1\n")
    environment = Environment(tmp_path / "env", (lock,))
    with pytest.raises(SetupError, match="A step of the set-up failed"):
        environments.build(environment, python=Path(sys.executable), uv=Path("/bin/false"))
    assert not environment.is_current(Path(sys.executable))


def test_the_set_up_needs_the_standard_library_alone() -> None:
    """Whatever `make run` imports before anything is installed may not need what is not there yet."""
    import subprocess

    code = (
        "import sys; before = set(sys.modules)\n"
        "import romanhub.local.bootstrap\n"
        "roots = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(roots - set(sys.stdlib_module_names) - {'romanhub'}))"
    )
    source = str(Path(environments.__file__).resolve().parents[2])
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": source}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
