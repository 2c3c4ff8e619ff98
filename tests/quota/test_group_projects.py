"""Projects that follow from hub groups, and moving an account to another tier."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hubquota.models.ledger import ConflictingAccountError, ConflictingKeyError, ImpossibleError
from hubquota.models.states import State
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFileError, parse_tiers

from tests.quota.support import HERE, Clock

TEXT = (HERE / "hub_tiers.yaml").read_text()
TIERS = parse_tiers(TEXT, name="tiers.yaml")


def roles(ledger: Ledger, project: str) -> dict[str, str]:
    return {one.name: one.role for one in ledger.members(project)}


def test_groups_say_which_projects_somebody_is_in() -> None:
    rules = (
        "projects:\n  groups:\n  - {match: roman-*, tier: explorer}\n  - {match: esa, tier: poor, pi_suffix: ''}\n"
    )
    found = parse_tiers(f"{TEXT}\n{rules}", name="tiers.yaml").projects
    assert found.of_groups(["staff", "roman-a", "roman-b-pi", "esa"]) == {
        "roman-a": ("explorer", False),
        "roman-b": ("explorer", True),
        "esa": ("poor", False),
    }
    assert found.of_groups(["roman-a", "roman-a-pi"]) == {"roman-a": ("explorer", True)}
    assert parse_tiers(TEXT, name="tiers.yaml").projects.of_groups(["roman-a"]) == {}
    with pytest.raises(TiersFileError) as mistakes:
        parse_tiers(
            f"{TEXT}\nprojects: {{groups: [{{match: x, tier: y, pis: z}}]}}\nclean_up: {{size: q}}", name="t"
        )
    assert [mistake.split(": ", 1)[1] for mistake in mistakes.value.mistakes] == [
        "projects.groups.0.pis: there is no key 'pis'; allowed: match, tier, pi_suffix",
        "projects.groups.0.tier: there is no tier 'y'; allowed: explorer, poor, broke",
        "clean_up.size: there is no size 'q'; allowed: small, medium, large",
    ]


def test_memberships_follow_the_groups_as_dated_facts(ledger: Ledger, clock: Clock) -> None:
    assert ledger.sync_members("roman-a", ["ada", "bob"], ["eve"], tier="explorer") == 3
    assert ledger.sync_members("roman-a", ["ada", "bob"], ["eve"], tier="explorer") == 0
    assert roles(ledger, "roman-a") == {"ada": "member", "bob": "member", "eve": "pi"}
    clock.turn(60)
    assert ledger.sync_members("roman-a", ["ada"], ["bob"], tier="explorer") == 2
    assert roles(ledger, "roman-a") == {"ada": "member", "bob": "pi"}
    former = [(one.name, one.role) for one in ledger.members("roman-a", former=True) if one.until is not None]
    assert former == [("bob", "member"), ("eve", "pi")]


def test_what_people_decided_stays(ledger: Ledger) -> None:
    ledger.open_project("roman-a", "poor", pi="eve", actor="admin")
    ledger.set_member("roman-a", "kim", "member", actor="eve")
    ledger.sync_members("roman-a", ["ada", "eve"], ["kim"], tier="explorer")
    assert roles(ledger, "roman-a") == {"ada": "member", "eve": "pi", "kim": "member"}
    ledger.sync_members("roman-a", [], [], tier="explorer")
    assert roles(ledger, "roman-a") == {"eve": "pi", "kim": "member"}
    assert ledger.account("roman-a") is not None


def test_one_person_is_brought_into_step_at_sign_in(ledger: Ledger) -> None:
    ledger.open_account("roman-user", "explorer", 5, actor="test")
    ledger.open_project("own", "explorer", pi="ada", actor="admin")
    wanted = {"roman-a": ("explorer", False), "roman-b": ("explorer", True), "roman-user": ("explorer", False)}
    for _ in range(2):
        assert ledger.sync_person("ada", wanted) == ["roman-user"]
        assert (roles(ledger, "roman-a"), roles(ledger, "roman-b")) == ({"ada": "member"}, {"ada": "pi"})
    assert [row.account.name for row in ledger.drawable("ada")] == ["own", "roman-a", "roman-b"]
    ledger.sync_person("ada", {"roman-a": ("explorer", True)})
    assert (roles(ledger, "roman-a"), roles(ledger, "roman-b")) == ({"ada": "pi"}, {})
    assert len(ledger.members("roman-a", former=True)) == 2
    ledger.sync_person("ada", {})
    assert [row.account.name for row in ledger.drawable("ada")] == ["own"]
    with pytest.raises(ConflictingAccountError, match="roman-user is a user's account"):
        ledger.sync_members("roman-user", ["ada"], [], tier="explorer")


def test_an_account_moves_to_another_tier_in_one_act(ledger: Ledger, clock: Clock) -> None:
    ledger.open_account("ada", "explorer", 1000, actor="test", term_days=90)
    lease = ledger.begin(ledger.admit("ada", kind="server", key="server:ada/", label="A server", rate=1).id)
    clock.turn(100)
    ledger.seen([lease.key])
    end = clock.now + timedelta(days=30)
    for _ in range(2):
        new = ledger.change_tier("ada", "poor", 5000, actor="admin", reason="Left.", key="1", end=end)
    assert (new.tier, new.balance, new.end) == ("poor", 5000, end)
    account = ledger.account("ada")
    assert account is not None
    assert account.tiers == ("poor",)
    assert (ledger.entitlement(TIERS, "ada").tier_name, ledger.entitlement(TIERS, "ada").state) == (
        "poor",
        State.ACTIVE,
    )
    clock.turn(100)
    assert ledger.close(lease.id, reason="x").charged == 200
    ledger.sweep()
    assert [one.id for one in ledger.allocations("ada")] == [new.id]
    assert ledger.verify() == []
    with pytest.raises(ConflictingKeyError):
        ledger.change_tier("ada", "poor", 5001, actor="admin", reason="x", key="1")
    with pytest.raises(ImpossibleError):
        ledger.change_tier("ada", "poor", 1, actor="admin", reason="x", key="2", end=clock.now)
    with pytest.raises(ValueError, match="above zero"):
        ledger.change_tier("ada", "poor", 0, actor="admin", reason="x", key="2")


def test_an_account_may_keep_what_it_has_beside_the_new_tier(ledger: Ledger) -> None:
    ledger.open_account("ada", "explorer", 1000, actor="test", term_days=90)
    ledger.change_tier("ada", "poor", 5000, actor="admin", reason="More.", key="1", keep=True)
    account = ledger.account("ada")
    assert account is not None
    assert set(account.tiers) == {"explorer", "poor"}
    assert ledger.balance("ada").available == 6000
