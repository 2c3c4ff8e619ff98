"""Starting and ending the platform: what a person at the terminal sees."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from romanhub.local import secrets

from tests.support.person import Person
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parents[3]


def statement(person: Person, token: str) -> dict[str, Any]:
    """Return a person's statement, as the portal's API gives it."""
    answer = person.web.get("/services/portal/api/statement", headers={"Authorization": f"token {token}"})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def test_ctrl_c_ends_every_process_and_a_second_run_continues(own_platform: Platform) -> None:
    own_platform.start()
    password = own_platform.admin_password
    ada = Person(own_platform.url, "ada")
    assert ada.sign_in().url.path.startswith("/hub/")
    assert ada.start_server(size="small").is_success
    assert len(own_platform.processes()) > 7
    # What runs for less than a second costs nothing, and leaves no line.
    token = ada.token()
    while not any(running["seconds"] for running in statement(ada, token)["running"]):
        time.sleep(0.1)
    with sqlite3.connect(f"file:{own_platform.state / 'private' / 'hub.sqlite'}?mode=ro", uri=True) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    assert own_platform.interrupt() == 0
    left = [process for process in own_platform.processes() if process.is_running()]
    assert not left, left

    own_platform.start()
    # The administrator's password was shown once; the accounts are as they were.
    assert "password " + password not in own_platform.output
    assert Person(own_platform.url, "ada", "another password").sign_in().status_code == 403
    assert Person(own_platform.url, "admin", password).sign_in().url.path.startswith("/hub/")
    again = Person(own_platform.url, "ada")
    assert again.sign_in().url.path.startswith("/hub/")
    assert [entry["kind"] for entry in statement(again, again.token())["entries"]] == ["charge", "grant"]


def test_a_taken_port_is_one_clear_line(own_platform: Platform) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own_platform.port))
        taken.listen()
        result = own_platform.command("up")
    assert result.returncode == 1
    assert result.stderr.strip() == (
        f"Port {own_platform.port} is taken or not allowed. Choose another: "
        f"ROMANHUB_PORT={own_platform.port + 1000} make run"
    )


def test_a_second_platform_on_the_same_state_is_refused(platform: Platform) -> None:
    result = platform.command("up")
    assert result.returncode == 1
    assert f"already runs from {platform.state}" in result.stderr
    assert "ROMANHUB_STATE" in result.stderr


def test_a_tiers_file_by_a_relative_path_is_the_same_for_every_part(own_platform: Platform) -> None:
    own_platform.environment = {"ROMANHUB_TIERS": os.path.relpath(ROOT / "hub_config" / "tiers.yaml")}
    own_platform.start()
    assert Person(own_platform.url, "ada").sign_in().url.path == "/hub/spawn"


def test_a_mistake_in_the_tiers_file_stops_the_start(own_platform: Platform, tmp_path: Path) -> None:
    text = (ROOT / "hub_config" / "tiers.yaml").read_text()
    broken = tmp_path / "tiers.yaml"
    broken.write_text(text.replace("default_size: small", "default_size: tiny", 1))
    line = 1 + broken.read_text().splitlines().index(
        next(line for line in broken.read_text().splitlines() if "default_size: tiny" in line)
    )
    own_platform.environment = {"ROMANHUB_TIERS": str(broken)}
    result = own_platform.command("up")
    assert result.returncode == 1
    assert f"tiers.yaml:{line}: tiers.explorer.default_size" in result.stderr
    assert "allowed: small" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (own_platform.state / "logs" / "hub.log").exists()


def test_a_mistake_in_the_settings_of_the_purge_stops_the_start(own_platform: Platform, tmp_path: Path) -> None:
    broken = tmp_path / "purge.yaml"
    broken.write_text(
        (ROOT / "hub_config" / "purge.yaml").read_text().replace("restore_days: 90", "restore_days: -1")
    )
    # A relative path is as good as a whole one.
    own_platform.environment = {"ROMANHUB_PURGE": os.path.relpath(broken)}
    result = own_platform.command("up")
    assert result.returncode == 1
    assert f"{broken}: restore_days: input should be greater than or equal to 0" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (own_platform.state / "logs" / "hub.log").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers are kept apart by system users")
def test_a_mistake_in_the_settings_of_the_community_stops_the_start(own_platform: Platform) -> None:
    own_platform.environment["ROMANHUB_COMMUNITY_GIT_SECONDS"] = "now and then"
    result = own_platform.command("up")
    assert result.returncode == 1
    assert "ROMANHUB_COMMUNITY_GIT_SECONDS: Input should be a valid integer" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_state_that_others_cannot_enter_is_refused_for_root(own_platform: Platform) -> None:
    closed = own_platform.state / "closed"
    closed.mkdir(mode=0o700)
    own_platform.environment = {"ROMANHUB_STATE": str(closed / "state")}
    result = own_platform.command("up")
    assert result.returncode == 1
    assert "Set ROMANHUB_STATE to a folder that everybody may enter" in result.stderr


def test_a_full_disk_is_one_clear_line(own_platform: Platform) -> None:
    # /dev/full answers every write as a full disk does.
    (own_platform.state / ".romanhub-state").touch()
    (own_platform.state / "private").mkdir()
    (own_platform.state / "private" / "secrets.new").symlink_to("/dev/full")
    result = own_platform.command("up")
    assert result.returncode == 1
    assert "is full. Free some room" in result.stderr
    assert "Traceback" not in result.stderr


def test_killed_platform_leaves_nothing_and_starts_again(own_platform: Platform) -> None:
    own_platform.start()
    assert own_platform.process
    parts = psutil.Process(own_platform.process.pid).children()
    own_platform.process.send_signal(signal.SIGKILL)
    own_platform.wait()
    own_platform.start()
    assert not [part for part in parts if part.is_running() and part.status() != psutil.STATUS_ZOMBIE]
    assert Person(own_platform.url, "ada").sign_in().url.path.startswith("/hub/")


def test_help_is_the_front_door(own_platform: Platform) -> None:
    result = own_platform.command("--help")
    assert result.returncode == 0
    for command in ("up", "password", "sample", "clean"):
        assert command in result.stdout


def test_clean_removes_a_folder_of_state_and_nothing_else(own_platform: Platform, tmp_path: Path) -> None:
    (own_platform.state / "thesis.txt").write_text("years of work")
    own_platform.state.chmod(0o700)
    for command in (["clean", "--yes"], ["up"]):
        result = own_platform.command(*command)
        assert result.returncode == 1
        assert str(own_platform.state) in result.stderr
        assert "Traceback" not in result.stderr
    assert (own_platform.state / "thesis.txt").read_text() == "years of work"
    assert own_platform.state.stat().st_mode & 0o777 == 0o700
    (own_platform.state / "thesis.txt").unlink()


def test_parts_that_read_the_secrets_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = secrets.make(path)
    inode = path.stat().st_ino
    assert secrets.make(path) == first
    # What is complete is not written again, so that nobody reads a half.
    assert path.stat().st_ino == inode
