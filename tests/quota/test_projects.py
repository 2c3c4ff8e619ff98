"""Projects: an account that members draw on."""

from __future__ import annotations

import pytest
from hubquota.models.ledger import ConflictingAccountError, ImpossibleError, Lease, Refused
from hubquota.models.requests import Actor, NotAllowedError
from hubquota.services.ledger import Ledger
from hubquota.services.projects import Projects

from tests.quota.support import Clock


@pytest.fixture(autouse=True)
def survey(ledger: Ledger) -> None:
    ledger.open_account("ada", "explorer", 1000, actor="test")
    ledger.open_project("survey", "team", pi="eve", actor="admin")
    ledger.set_member("survey", "ada", "member", actor="eve")
    ledger.grant("survey", 5000, actor="admin", reason="A survey.", key="1", tier="team")


def start(ledger: Ledger, account: str, person: str, **more: object) -> Lease:
    key = f"server:{person}/"
    return ledger.admit(account, kind="server", key=key, label="A server", rate=1, person=person, **more)  # type: ignore[arg-type]


def test_a_member_draws_on_the_project_and_the_project_pays(ledger: Ledger, clock: Clock) -> None:
    assert [row.account.name for row in ledger.drawable("ada")] == ["ada", "survey"]
    assert [row.account.name for row in ledger.drawable("eve")] == ["survey"]
    lease = ledger.begin(start(ledger, "survey", "ada").id)
    assert (lease.account, lease.person) == ("survey", "ada")
    clock.turn(100)
    ledger.close(lease.id, reason="x")
    assert [row.balance.available for row in ledger.drawable("ada")] == [1000, 4900]
    assert ledger.open_leases(person="ada") == []


def test_who_is_no_member_any_more_starts_nothing_and_what_runs_goes_on(ledger: Ledger) -> None:
    lease = ledger.begin(start(ledger, "survey", "ada").id)
    ledger.set_member("survey", "ada", None, actor="eve")
    assert ledger.lease(lease.id) == lease
    assert [row.account.name for row in ledger.drawable("ada")] == ["ada"]
    ledger.close(lease.id, reason="x")
    with pytest.raises(Refused) as refused:
        start(ledger, "survey", "ada", ask="Ask us.")
    assert refused.value.limit == "account"
    assert "ada is not a member of the project survey" in str(refused.value)
    now, former = ledger.members("survey"), ledger.members("survey", former=True)
    assert ([one.name for one in now], [one.name for one in former]) == (["eve"], ["ada", "eve"])


def test_nobody_draws_on_the_account_of_another_user(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="ada is the account of another user, and eve cannot use its credits"):
        start(ledger, "ada", "eve")


def test_a_leftover_on_another_account_is_settled_by_its_owner_alone(ledger: Ledger, clock: Clock) -> None:
    lost = ledger.begin(start(ledger, "survey", "ada").id)
    clock.turn(50)
    ledger.seen([lost.key])
    clock.turn(50)
    again = start(ledger, "ada", "ada", settle_leftover=True)
    settled = ledger.lease(lost.id)
    assert settled is not None
    assert (settled.charged, settled.is_open, again.account) == (50, False, "ada")
    with pytest.raises(Refused, match="runs already"):
        ledger.admit(
            "survey",
            kind="server",
            key="server:ada/",
            label="A server",
            rate=1,
            person="eve",
            settle_leftover=True,
        )
    assert ledger.verify() == []


def test_users_and_projects_do_not_share_a_name(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="There is a project of the name survey"):
        ledger.open_account("survey", "explorer", 5, actor="test")
    with pytest.raises(ConflictingAccountError, match="ada is a user's account"):
        ledger.open_project("ada", "team", pi="eve", actor="admin")
    with pytest.raises(ImpossibleError, match="has no members"):
        ledger.set_member("ada", "eve", "member", actor="admin")


def test_a_project_keeps_a_pi(ledger: Ledger) -> None:
    with pytest.raises(ImpossibleError, match="eve is the only PI of survey"):
        ledger.set_member("survey", "eve", "member", actor="eve")
    ledger.set_member("survey", "ada", "pi", actor="eve")
    ledger.set_member("survey", "eve", None, actor="ada")
    assert [(one.name, one.role) for one in ledger.members("survey")] == [("ada", "pi")]
    assert ledger.open_project("survey", "explorer", pi="mallory", actor="x").tiers == ("team",)
    assert len(ledger.members("survey")) == 1


def test_use_is_told_by_member_and_a_pi_says_who_is_in(ledger: Ledger, clock: Clock) -> None:
    projects = Projects.sharing(ledger)
    ledger.open_project("lens", "team", pi="ada", actor="root")
    ledger.grant("lens", 10**6, actor="root", reason="Cycle 1", key="c1")
    pi, member, admin = Actor("ada"), Actor("bob"), Actor("root", admin=True)
    projects.change_member("lens", "bob", "member", by=pi)
    projects.change_member("lens", "eve", "member", by=admin)
    for person, seconds in (("bob", 100), ("eve", 40)):
        lease = ledger.admit("lens", kind="server", key=person, label="S", rate=2, person=person)
        ledger.begin(lease.id)
        clock.turn(seconds)
        if person == "eve":
            ledger.close(lease.id, reason="Done.")
    projects.change_member("lens", "eve", None, by=pi)

    found = {one.person: (one.role, one.charged, one.sessions, len(one.running)) for one in projects.use("lens")}

    assert found == {"ada": ("pi", 0, 0, 0), "bob": ("member", 0, 1, 1), "eve": (None, 80, 1, 0)}
    assert [one.person for one in projects.use("lens")][-1] == "eve", "members come first"
    assert [(row.account.name, role) for row, role in projects.projects_of("bob")] == [("lens", "member")]
    assert projects.role("lens", "eve") is None
    assert projects.role("nothing", "eve") is None
    for by in (member, Actor("eve")):
        with pytest.raises(NotAllowedError, match="Only a PI of lens"):
            projects.change_member("lens", "mallory", "pi", by=by)
    with pytest.raises(ImpossibleError, match="is not in the project"):
        projects.change_member("lens", "mallory", None, by=pi)
    with pytest.raises(ImpossibleError, match="only PI"):
        projects.change_member("lens", "ada", None, by=pi)
