"""Who the processes of a platform user run as."""

from __future__ import annotations

import os
import pwd
import re
import signal
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from romanhub.local.system_users import SystemUsers, become, can_separate

from tests.support.platform import fresh_state

NAMES = st.text(alphabet=string.ascii_letters + string.digits + "-_.@+ é", min_size=1, max_size=60)


@given(NAMES)
def test_a_system_name_is_one_that_linux_takes_and_never_one_of_its_own(name: str) -> None:
    users = SystemUsers(Path("/srv/homes"), separate=True)
    assert re.fullmatch(r"rh[0-9a-f]{6}-[a-z0-9]{1,12}-[0-9a-f]{8}", users.system_name(name))
    assert len(users.system_name(name)) <= 32


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_two_users_share_neither_system_user_nor_home(names: list[str]) -> None:
    users = SystemUsers(Path("/srv/homes"), separate=True)
    assert users.system_name(names[0]) != users.system_name(names[1])
    assert users.home(names[0]) != users.home(names[1])


@given(NAMES)
def test_a_home_is_right_under_the_homes(name: str) -> None:
    home = SystemUsers(Path("/srv/homes"), separate=False).home(name)
    assert home.parent == Path("/srv/homes")
    assert home.name not in (".", "..")


def test_two_platforms_on_one_machine_do_not_share_system_users() -> None:
    one, two = (SystemUsers(Path(folder), separate=True) for folder in ("/srv/one", "/srv/two"))
    assert one.system_name("ada") != two.system_name("ada")


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder that others may enter, with the users made for it removed afterwards."""
    folder = fresh_state()
    (folder / "homes").mkdir()
    yield folder
    SystemUsers(folder / "homes", separate=can_separate()).remove_all()


def test_a_home_is_private_and_never_overwritten(state: Path, tmp_path: Path) -> None:
    (tmp_path / "welcome.ipynb").write_text("first")
    users = SystemUsers(state / "homes", separate=can_separate())
    system = users.ensure("ada", welcome=tmp_path)
    notebook = users.home("ada") / "welcome.ipynb"
    assert notebook.read_text() == "first"
    assert users.home("ada").stat().st_mode & 0o777 == 0o700
    if system:
        assert pwd.getpwnam(system.name).pw_uid == system.uid == notebook.stat().st_uid
        assert system.uid != os.geteuid()

    notebook.write_text("mine")
    (tmp_path / "welcome.ipynb").write_text("second")
    assert users.ensure("ada", welcome=tmp_path) == system
    assert notebook.read_text() == "mine"


@pytest.mark.skipif(not can_separate(), reason="only root can make system users")
def test_removing_takes_this_platforms_users_alone(state: Path, tmp_path: Path) -> None:
    users, others = (SystemUsers(state / name, separate=True) for name in ("homes", "more"))
    (state / "more").mkdir()
    for group in (users, others):
        group.ensure("ada", welcome=tmp_path)
    assert users.remove_all() == [users.system_name("ada")]
    assert others.lookup("ada")
    others.remove_all()
    with pytest.raises(KeyError):
        others.lookup("ada")


@pytest.mark.skipif(not can_separate(), reason="only root can make system users")
def test_what_is_discarded_leaves_no_process_no_file_and_no_user(state: Path, tmp_path: Path) -> None:
    users, welcome = SystemUsers(state / "homes", separate=True), tmp_path
    # Of the same account, which stays.
    users.ensure("robot", welcome=welcome)
    system = users.ensure("robot/run-1", welcome=welcome)
    assert system is not None and system != users.lookup("robot")
    # One that nobody waits for, in a session of its own, as a notebook can leave it behind.
    left = subprocess.Popen(
        ["sleep", "300"], preexec_fn=become(system, users.home("robot/run-1")), start_new_session=True
    )

    users.discard("robot/run-1")

    assert left.wait(timeout=10) == -signal.SIGKILL
    left.wait(10)
    assert not users.home("robot/run-1").exists()
    with pytest.raises(KeyError):
        users.lookup("robot/run-1")
    assert users.home("robot").exists() and users.lookup("robot")
    users.discard("robot/run-1")
