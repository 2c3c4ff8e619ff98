"""The hub's record of a user goes last and comes back, in a real hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest
from hubquota.models.purge import Stage
from hubquota.purge.adapter import load_adapters
from hubquota.services.ledger import Ledger
from hubquota.services.purge import Purge
from hubquota.storage.engine import make_engine

from tests.quota.purge_support import DAY, GRACES, ROOT, expire, fill, make_settings, plan_and_approve
from tests.quota.support import Clock, Hub


@pytest.fixture
def purge(hub: Hub, clock: Clock, tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Purge:
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"{hub.url}/hub/api")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", hub.token)
    engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ledger.sqlite')}")
    expire(Ledger(engine, clock), clock, "ada", "bob", "eve")
    api = hub.api()
    for name in ("ada", "bob"):
        api.post(f"users/{name}")
    api.post("groups/roman")
    api.post("groups/roman/users", json={"users": ["ada"]}).raise_for_status()
    for name in ("ada", "bob"):
        fill(tmp_path / "homes" / name)
    settings = make_settings(
        tmp_path,
        notice_days=[],
        quarantine_days=2,
        adapters={
            "hub": {"type": "hub-record"},
            "home": {"type": "home-folder", "homes": str(tmp_path / "homes")},
        },
    )
    return Purge(engine, settings, load_adapters(settings), GRACES, clock)


def test_a_record_goes_once_everything_else_is_gone_and_comes_back(
    purge: Purge, hub: Hub, clock: Clock, tmp_path: Path
) -> None:
    api = hub.api()
    number = plan_and_approve(purge)
    items = {(item.account, item.adapter): item for item in purge.read(number)[1]}
    assert set(items) == {(name, adapter) for name in ("ada", "bob") for adapter in ("hub", "home")}
    for _ in range(3):
        steps = purge.advance(dry_run=False)
        assert [step.failure for step in steps if step.failure] == []
        clock.turn(2 * DAY)
        (tmp_path / "homes" / "bob" / "new").mkdir(parents=True, exist_ok=True)
        purge.hold("bob", by=ROOT, reason="x")
    stages = {(item.account, item.adapter): item.stage for item in purge.read(number)[1]}
    assert stages == {
        ("ada", "home"): Stage.DELETED,
        ("ada", "hub"): Stage.DELETED,
        ("bob", "home"): Stage.LEFT_ALONE,
        ("bob", "hub"): Stage.LEFT_ALONE,
    }
    assert api.get("users/ada").status_code == httpx.codes.NOT_FOUND
    assert api.get("users/bob").status_code == httpx.codes.OK
    purge.restore(items["ada", "hub"].id, by=ROOT)
    assert api.get("users/ada").json()["groups"] == ["roman"]


def test_who_has_signed_in_since_keeps_their_record(purge: Purge, hub: Hub, clock: Clock, tmp_path: Path) -> None:
    number = plan_and_approve(purge)
    purge.advance(dry_run=False)
    clock.turn(2 * DAY)
    hub.browser("ada").get("/hub/home").raise_for_status()
    for _ in range(3):
        purge.advance(dry_run=False)
        clock.turn(2 * DAY)
    stages = {(item.account, item.adapter): item for item in purge.read(number)[1]}
    assert stages["ada", "hub"].stage is Stage.LEFT_ALONE
    assert "has changed since the plan was made" in (stages["ada", "hub"].reason or "")
    assert stages["bob", "hub"].stage is Stage.DELETED
    assert hub.api().get("users/ada").status_code == httpx.codes.OK
