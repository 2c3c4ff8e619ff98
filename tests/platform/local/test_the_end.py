"""The end of an account on one machine: from its grace to the archive, and back, by the operator's commands."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hubquota.models.purge_settings import PurgeSettings
from hubquota.purge.adapter import load_adapters
from hubquota.services.ledger import Ledger
from hubquota.services.settingsfile import load_settings
from hubquota.storage.engine import make_engine
from romanhub.local.layout import State
from romanhub.local.system_users import SystemUsers, can_separate

from tests.quota.support import eventually
from tests.support.person import Person
from tests.support.platform import Platform, shared_environments

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "hub_config" / "purge.yaml"
TIERS = ROOT / "hub_config" / "tiers.yaml"


def test_the_example_is_right_for_the_folder_of_state_that_it_names() -> None:
    settings = load_settings(EXAMPLE, PurgeSettings)
    text = EXAMPLE.read_text()
    state = State(Path(text.split("ROMANHUB_STATE=")[1].split()[0]))
    assert list(settings.adapters) == ["home", "community"]
    home = settings.adapters["home"]
    assert Path(home["homes"]) == state.homes
    assert f"$ROMANHUB_STATE/{(state.private / 'ledger.sqlite').relative_to(state.root)}" in text
    assert not Path(settings.archive).is_relative_to(state.homes)
    # The other one asks the platform of that folder, which is not there.
    (adapter,) = load_adapters(settings.model_copy(update={"adapters": {"home": home}})).values()
    assert not adapter.last


class Operator:
    """Whoever runs the platform, at the command line, as the page for operators says."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.folder = folder
        # The example with this platform's paths, and days that a test can wait for.
        given = EXAMPLE.read_text().replace("/srv/romanhub", str(platform.state))
        given = given.replace("/srv/purge-archive", str(self.folder / "archive"))
        short = {"notice_days": [], "quarantine_days": 0, "limits": {"accounts": 1, "percent": 100}}
        self.settings = self.folder / "purge.yaml"
        self.settings.write_text(yaml.safe_dump({**yaml.safe_load(given), **short}))
        self.state = platform.state
        self.database = f"sqlite:///{platform.state / 'private' / 'ledger.sqlite'}"

    def run(self, *arguments: str) -> str:
        """Run a command of hubquota; return what it prints."""
        variables = {
            "ROMANHUB_STATE": str(self.state),
            "HUBQUOTA_DATABASE_URL": self.database,
            "HUBQUOTA_TIERS": str(TIERS),
            "HUBQUOTA_PURGE": str(self.settings),
        }
        command = [str(Path(shared_environments()) / "hub" / "bin" / "hubquota"), *arguments]
        done = subprocess.run(
            command, env={**os.environ, **variables}, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run a command of hubquota for scripts."""
        return json.loads(self.run(*arguments, "--json"))


def tree(folder: Path) -> dict[str, tuple[int, int, int, bytes | None]]:
    """Each path's mode, owner and group, and a file's content; the folder itself comes as a dot."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


@pytest.mark.skipif(not can_separate(), reason="the homes of system users can be made by root only")
@pytest.mark.timeout(300)
def test_an_account_past_its_grace_goes_to_the_archive_and_comes_back(platform: Platform, tmp_path: Path) -> None:
    operator = Operator(platform, tmp_path)
    # Half a year ago she had a term of a day.
    then = datetime.now(UTC) - timedelta(days=180)
    ledger = Ledger(make_engine(operator.database), lambda: then)
    ledger.open_account("maria", "explorer", 1_000_000, actor="test", term_days=1)
    then += timedelta(days=2)
    ledger.sweep()
    maria = Person(platform.url, "maria")
    maria.sign_in()

    # In grace there is a server to clear up with; it makes the home, with an owner of its own.
    assert maria.start_server().is_success
    maria.stop_server()
    users = SystemUsers(State(platform.state).homes, separate=True)
    home, owner = users.home("maria"), users.lookup("maria")
    assert owner is not None
    (home / "results").mkdir()
    (home / "results" / "figure.fits").write_bytes(os.urandom(100_000))
    (home / "results" / "figure.fits").chmod(0o640)
    for path in (home / "results", home / "results" / "figure.fits"):
        os.chown(path, owner.uid, owner.gid)
    before = tree(home)
    assert {kept[1] for kept in before.values()} == {owner.uid}

    told = operator.run("purge", "plan", "--really")
    assert "1 thing of 1 account" in told
    plan = operator.json("purge", "list")["items"][0]
    operator.run("purge", "approve", str(plan["id"]), "--digest", plan["digest"])
    assert home.is_dir()
    steps = operator.json("purge", "run", "--really")["steps"]
    assert [(step["item"]["account"], step["act"], step["failure"]) for step in steps] == [
        ("maria", act, None) for act in ("archive", "quarantine", "delete")
    ]
    assert not home.exists()
    archives = operator.folder / "archive"
    assert archives.stat().st_mode & 0o077 == 0
    assert sum(path.stat().st_size for path in archives.rglob("*")) > 100_000
    (one,) = operator.json("allocation", "list", "maria", "--all")["items"]
    assert one["archived_at"] is not None
    assert "archived 2" in operator.run("allocation", "list", "maria", "--all")

    # She signs in, and reads what has happened; nothing makes her a home that would be in the way.
    again = Person(platform.url, "maria")
    again.sign_in()
    page = again.web.get("/hub/spawn").text
    assert f"is in the archive since {datetime.now(UTC):%Y-%m-%d}" in page
    assert "Ask for it back" in page
    refused = again.start_server()
    assert refused.status_code == 403
    assert "Ask for it back" in refused.json()["message"]
    assert not home.exists()
    assert "was deleted and can be restored" in operator.run("notices", "list", "maria")

    assert str(home) in operator.run("purge", "restore", "maria", "--really")
    assert tree(home) == before
    (one,) = operator.json("allocation", "list", "maria", "--all")["items"]
    assert one["archived_at"] is None
    assert again.start_server().is_success
    again.stop_server()
    assert operator.json("verify")["items"] == []


@pytest.mark.skipif(not can_separate(), reason="the homes of system users can be moved by root only")
@pytest.mark.timeout(300)
def test_the_platform_purges_by_itself_where_its_settings_say_so(own_platform: Platform, tmp_path: Path) -> None:
    operator = Operator(own_platform, tmp_path)
    given = yaml.safe_load(operator.settings.read_text())
    schedule = {"daily_at": "03:30", "plans": "unreviewed"}
    operator.settings.write_text(yaml.safe_dump({**given, "schedule": schedule}))
    own_platform.environment["ROMANHUB_PURGE"] = str(operator.settings)
    own_platform.start()
    then = datetime.now(UTC) - timedelta(days=180)
    ledger = Ledger(make_engine(operator.database), lambda: then)
    ledger.open_account("maria", "explorer", 1_000_000, actor="test", term_days=1)
    then += timedelta(days=2)
    ledger.sweep()
    home = State(own_platform.state).homes / "maria"
    home.mkdir()
    (home / "figure.fits").write_bytes(os.urandom(1_000))

    # It runs once a day, and after a start: the supervisor starts the watch again.
    own_platform.part("watch").kill()
    eventually(lambda: not home.exists(), "a home that is in the archive", within=120)
    plan = operator.json("purge", "list")["items"][0]
    assert plan["approved_by"] == "hubquota"
    assert str(home) in operator.run("purge", "restore", "maria", "--really")
    assert len((home / "figure.fits").read_bytes()) == 1_000


@pytest.mark.timeout(300)
async def test_in_grace_files_can_be_read_and_deleted_and_nothing_can_be_written(platform: Platform) -> None:
    ledger = Ledger(make_engine(f"sqlite:///{platform.state / 'private' / 'ledger.sqlite'}"))
    nora = Person(platform.url, "nora")
    nora.sign_in()
    assert nora.start_server(size="small").is_success
    kernel = await nora.kernel()
    made = await kernel.run(
        "import os, pathlib; home = pathlib.Path.home(); (home / 'old' / 'deep').mkdir(parents=True)\n"
        "for name in ('old/deep/a.fits', 'b.fits', '.hidden'): (home / name).write_bytes(b'*' * 1000)"
    )
    assert not made.error, made.error
    kernel.close()
    nora.stop_server()
    (one,) = ledger.allocations("nora")
    ledger.revoke(one.id, actor="admin", reason="The term is over.", key="nora-1")

    # The form says what she can do, and no other server starts.
    form = nora.web.get("/hub/spawn").text
    assert "In a clean-up server you can read, download and delete files." in form
    assert nora.start_server(size="medium").status_code == 403
    assert nora.start_server(size="small").is_success
    bearer = {"Authorization": f"token {nora.token()}"}
    contents = "/user/nora/api/contents/"

    # Download and read; save, make, rename: refused.
    assert nora.web.get("/user/nora/files/b.fits", headers=bearer).content == b"*" * 1000
    for method, path, body in (
        ("PUT", "new.txt", {"type": "file", "format": "text", "content": "more"}),
        ("PUT", "b.fits", {"type": "file", "format": "text", "content": "more"}),
        ("PUT", "folder", {"type": "directory"}),
        ("PATCH", "b.fits", {"path": "c.fits"}),
    ):
        answer = nora.web.request(method, contents + path, headers=bearer, json=body)
        assert not answer.is_success, (method, path)
        assert "Permission denied" in answer.text, answer.text
    # A kernel and all that it starts are held to it as well, and none of them gets out of it.
    kernel = await nora.kernel()
    for code in (
        "import os, pathlib; home = pathlib.Path.home(); (home / 'x').touch()",
        "open(home / 'b.fits', 'ab')",
        "os.truncate(home / 'b.fits', 10_000_000)",
        "os.link(home / 'b.fits', home / 'x')",
        "os.symlink('b.fits', home / 'x')",
        "import subprocess; subprocess.run(['cp', home / 'b.fits', home / 'x'], check=True)",
    ):
        tried = await kernel.run(code)
        assert "PermissionError" in tried.error or "CalledProcessError" in tried.error, (code, tried.error)
    worked = await kernel.run(
        "import tempfile; print((home / 'b.fits').stat().st_size, tempfile.TemporaryFile().write(b'1'))"
    )
    assert worked.text.split() == ["1000", "1"], worked.error
    kernel.close()

    # Deleting works from the file browser: files, folders with all that is in them, and what is hidden.
    for path in ("old", "b.fits", ".hidden"):
        deleted = nora.web.delete(contents + path, headers=bearer)
        assert deleted.status_code == 204, (path, deleted.text)
    names = {entry["name"] for entry in nora.web.get(contents, headers=bearer).json()["content"]}
    assert "welcome.ipynb" in names
    assert not names & {"old", "b.fits"}
    nora.stop_server()

    # With a new allocation everything is as before.
    ledger.grant("nora", 36_000_000_000, actor="admin", reason="Another term.", key="nora-2")
    assert nora.start_server(size="small").is_success
    kernel = await nora.kernel()
    again = await kernel.run("import pathlib; (pathlib.Path.home() / 'again').write_text('new')")
    assert not again.error, again.error
    kernel.close()
    nora.stop_server()
