"""The mixin over other authenticators, without a hub: what it opens, and that it keeps nobody out."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hubquota.hub.authenticator import QuotaAuthenticatorMixin
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import decision, make_engine
from jupyterhub.auth import Authenticator
from traitlets.config import Config

from tests.quota.support import HERE, eventually


class Provider(Authenticator):  # type: ignore[misc]
    """An authenticator that believes everybody, and says of them what they say."""

    async def authenticate(self, handler: Any, data: dict[str, Any]) -> dict[str, Any]:
        return dict(data)

    def refresh_user(self, user: Any, handler: Any = None) -> bool:
        return not user.name.startswith("expired")


class QuotaAuthenticator(QuotaAuthenticatorMixin, Provider):  # type: ignore[misc]
    pass


@pytest.fixture
def tiers_with_claims(tmp_path: Path) -> Path:
    path = tmp_path / "tiers.yaml"
    rule = 'first_tier:\n  claims: [{claim: affiliation, matches: "*@stsci.edu", tier: poor}]\n'
    path.write_text((HERE / "hub_tiers.yaml").read_text().replace("first_tier:\n", rule))
    return path


def make(database: str, tiers: Path, **more: Any) -> Any:
    config = Config()
    # As a hub has it that only configures the spawner.
    config.Spawner.quota_tiers_file = str(tiers)
    config.Spawner.quota_database_url = database
    config.Authenticator.allow_all = True
    for name, value in more.items():
        config.Authenticator[name] = value
    return QuotaAuthenticator(config=config)


async def sign_in(authenticator: Any, name: str, **said: Any) -> Any:
    return await authenticator.get_authenticated_user(None, {"name": name, **said})


async def test_the_account_is_opened_at_sign_in_by_claims_then_groups(
    database: str, tiers_with_claims: Path
) -> None:
    authenticator, ledger = make(database, tiers_with_claims), Ledger(make_engine(database))
    await sign_in(authenticator, "ada", auth_state={"affiliation": ["staff@stsci.edu"]})
    await sign_in(authenticator, "bob", groups=["the-broke"], auth_state={"affiliation": "x@elsewhere.edu"})
    await sign_in(authenticator, "eve")
    tiers = {name: ledger.account(name).tiers for name in ("ada", "bob", "eve")}  # type: ignore[union-attr]
    assert tiers == {"ada": ("poor",), "bob": ("broke",), "eve": ("explorer",)}
    # Signing in again changes nothing, whatever is said then.
    await sign_in(authenticator, "ada", auth_state={})
    assert ledger.balance("ada").posted == to_units("0.01")


async def test_the_configurations_own_hook_runs_first_and_may_say_no(
    database: str, tiers_with_claims: Path
) -> None:
    def hook(_authenticator: Any, _handler: Any, model: dict[str, Any]) -> dict[str, Any] | None:
        return None if model["name"] == "mallory" else {**model, "groups": ["the-poor"]}

    authenticator, ledger = make(database, tiers_with_claims, post_auth_hook=hook), Ledger(make_engine(database))
    assert await sign_in(authenticator, "mallory") is None
    assert ledger.account("mallory") is None
    assert (await sign_in(authenticator, "ada"))["groups"] == ["the-poor"]
    assert ledger.account("ada").tiers == ("poor",)  # type: ignore[union-attr]


async def test_who_is_suspended_signs_in_and_reads_why(database: str, tiers_with_claims: Path) -> None:
    authenticator, ledger = make(database, tiers_with_claims), Ledger(make_engine(database))
    await sign_in(authenticator, "ada")
    (allocation,) = ledger.allocations("ada")
    ledger.suspend(allocation.id, actor="root", reason="A question is open.", key="x")
    assert (await sign_in(authenticator, "ada"))["name"] == "ada"


async def test_a_project_of_the_same_name_keeps_nobody_out(database: str, tiers_with_claims: Path) -> None:
    authenticator, ledger = make(database, tiers_with_claims), Ledger(make_engine(database))
    ledger.open_project("survey", "explorer", pi="ada", actor="test")
    assert (await sign_in(authenticator, "survey"))["name"] == "survey"


async def test_without_the_ledger_a_sign_in_does_not_wait_long_and_the_account_follows(
    database: str, tiers_with_claims: Path
) -> None:
    authenticator = make(database, tiers_with_claims, quota_deadline=0.3)
    engine = make_engine(database)
    began = time.monotonic()
    with decision(engine):
        assert (await sign_in(authenticator, "ada"))["name"] == "ada"
        assert time.monotonic() - began < 8
    ledger = Ledger(engine)
    found = await asyncio.to_thread(eventually, lambda: ledger.account("ada"), "the account")
    assert found.tiers == ("explorer",)


async def test_without_a_tiers_file_people_sign_in(database: str, tmp_path: Path) -> None:
    assert (await sign_in(make(database, tmp_path / "none.yaml"), "ada"))["name"] == "ada"


async def test_a_refresh_opens_what_was_not_opened_and_says_what_the_authenticator_says(
    database: str, tiers_with_claims: Path
) -> None:
    authenticator = make(database, tiers_with_claims, enable_auth_state=True)
    ledger = Ledger(make_engine(database))

    async def kept() -> dict[str, Any]:
        return {"affiliation": "staff@stsci.edu"}

    def user(name: str) -> Any:
        return SimpleNamespace(name=name, groups=[], get_auth_state=kept)

    assert await authenticator.refresh_user(user("ada")) is True
    assert ledger.account("ada").tiers == ("poor",)  # type: ignore[union-attr]
    assert await authenticator.refresh_user(user("expired-eve")) is False
    assert ledger.account("expired-eve") is None


def test_nobody_signs_in_as_a_program_which_keeps_its_roles(database: str, tiers_with_claims: Path) -> None:
    authenticator = make(database, tiers_with_claims, quota_programs={"robot"})
    assert asyncio.run(authenticator.get_authenticated_user(None, {"name": "robot"})) is None
    # A hub that starts again takes the roles of all who are in this set, and stops their servers.
    assert authenticator.blocked_users == set()
