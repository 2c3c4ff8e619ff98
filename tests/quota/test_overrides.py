"""Overrides with an expiry, and the entitlement that follows from them, from grace and from suspension."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hubquota.models.entitlement import CLEAN_UP, offer_on
from hubquota.models.ledger import ConflictingKeyError, ImpossibleError, Refused, UnknownOverrideError
from hubquota.models.overrides import Overridden, Override, effective
from hubquota.models.states import State
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import parse_tiers
from hubquota.storage.engine import decision
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from tests.quota.support import HERE, Clock

TEXT = (HERE / "hub_tiers.yaml").read_text()
TIERS = parse_tiers(TEXT, name="tiers.yaml")
CLEAN = parse_tiers(f"{TEXT}\nclean_up: {{size: small}}\n", name="tiers.yaml")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = 86_400


@pytest.fixture(autouse=True)
def ada(ledger: Ledger) -> None:
    ledger.open_account("ada", "explorer", 1_000_000, actor="test", term_days=90)


def give(
    ledger: Ledger, days: int = 1, *, key: str = "1", person: str | None = None, **limits: object
) -> Override:
    until = datetime.fromtimestamp(ledger._now() + days * DAY, UTC)
    wanted = Overridden.model_validate(limits)
    return ledger.give_override("ada", wanted, until, actor="admin", reason="A school.", key=key, person=person)


# Services ----------------------------------------------------------------------------------------------


def test_an_override_counts_until_its_date_and_needs_no_sweep(ledger: Ledger, clock: Clock) -> None:
    give(ledger, sizes=("large",), workers=10, longest_session_hours=72, servers=2)
    entitlement = ledger.entitlement(TIERS, "ada")
    assert entitlement.tier.sizes == ("small", "medium", "large")
    assert (entitlement.tier.dask.workers, entitlement.tier.dask.clusters) == (10, 1)
    assert (
        entitlement.tier.longest_session_hours,
        entitlement.tier.idle_stop_minutes,
        entitlement.tier.servers,
    ) == (72, 60, 2)
    assert [one.reason for one in entitlement.overrides] == ["A school."]
    clock.turn(DAY - 1)
    assert ledger.entitlement(TIERS, "ada") == entitlement
    clock.turn(1)
    assert ledger.entitlement(TIERS, "ada").tier == TIERS.tiers["explorer"]
    assert (ledger.overrides("ada"), len(ledger.overrides("ada", former=True))) == ([], 1)


def test_an_override_is_withdrawn_once_and_what_happened_stays_on_record(
    ledger: Ledger, clock: Clock, engine: Engine
) -> None:
    one = give(ledger, workers=10)
    clock.turn(60)
    for _ in range(2):
        done = ledger.withdraw_override(one.id, actor="eve", reason="A mistake.")
        assert (done.withdrawn_by, done.withdrawn_reason) == ("eve", "A mistake.")
    assert ledger.entitlement(TIERS, "ada").tier == TIERS.tiers["explorer"]
    assert (ledger.overrides(), ledger.overrides(former=True)) == ([], [done])
    with pytest.raises(UnknownOverrideError):
        ledger.withdraw_override(99, actor="eve", reason="x")
    for statement in ("UPDATE override SET until_at = 9", "DELETE FROM override", "DELETE FROM cap"):
        if statement.endswith("cap"):
            ledger.open_project("survey", "explorer", pi="eve", actor="admin")
            ledger.set_cap("survey", "ada", workers=1, actor="eve", reason="x")
        with pytest.raises(DatabaseError, match="only added"), decision(engine) as connection:
            connection.execute(text(statement))


def test_one_key_is_one_override(ledger: Ledger) -> None:
    assert give(ledger, workers=10) == give(ledger, workers=10)
    with pytest.raises(ConflictingKeyError):
        give(ledger, workers=11)
    with pytest.raises(ImpossibleError, match="is past"):
        give(ledger, 0, key="2", workers=11)
    for wrong in ({}, {"workers": -1}, {"idle_stop_minutes": 0}, {"weeks": 2}):
        with pytest.raises(ValidationError):
            give(ledger, key="3", **wrong)
    assert len(ledger.overrides()) == 1


def test_one_for_a_person_counts_for_that_person(ledger: Ledger) -> None:
    ledger.open_project("survey", "explorer", pi="eve", actor="admin")
    until = NOON + timedelta(days=1)
    for number, (person, workers) in enumerate(((None, 8), ("eve", 2))):
        ledger.give_override(
            "survey",
            Overridden(workers=workers),
            until,
            actor="admin",
            reason="x",
            key=str(number),
            person=person,
        )
    assert ledger.entitlement(TIERS, "survey", "eve").tier.dask.workers == 2
    assert ledger.entitlement(TIERS, "survey", "ada").tier.dask.workers == 8


def test_a_person_runs_no_more_servers_than_the_limit_for_each(ledger: Ledger) -> None:
    for number in range(3):
        key = f"server:ada/{number}"
        if number < 2:
            ledger.admit("ada", kind="server", key=key, label="A server", rate=1, limit_each=2)
        else:
            with pytest.raises(
                Refused, match="You run 2 servers on ada and one person may run 2 at once"
            ) as error:
                ledger.admit("ada", kind="server", key=key, label="A server", rate=1, limit_each=2)
            assert error.value.limit == "count"


# Grace and suspension ----------------------------------------------------------------------------------


def test_while_something_pays_the_tiers_alone_say_what_can_be_started(ledger: Ledger, clock: Clock) -> None:
    def agree() -> None:
        account = ledger.account("ada")
        assert account is not None
        assert offer_on(CLEAN, account.tiers) == ledger.entitlement(CLEAN, "ada").offer(CLEAN)

    agree()
    ledger.admit("ada", kind="server", key="server:ada/", label="A server", rate=1_000_000 // 600)
    agree()
    more = ledger.grant("ada", 5, tier="poor", actor="admin", reason="More.", key="1")
    agree()
    (first,) = (one for one in ledger.allocations("ada") if one.id != more.id)
    ledger.suspend(first.id, actor="admin", reason="A look.", key="2")
    agree()
    ledger.resume(first.id, actor="admin", reason="It was nothing.", key="3")
    ledger.revoke(more.id, actor="admin", reason="Enough.", key="4")
    agree()
    clock.turn(90 * DAY - 1)
    agree()
    assert offer_on(CLEAN, ["gone"]) is None


def test_in_grace_there_is_a_clean_up_server_free_of_charge(ledger: Ledger, clock: Clock) -> None:
    clock.turn(90 * DAY - 1)
    assert ledger.entitlement(CLEAN, "ada").state is State.EXPIRING
    clock.turn(1)
    for swept in (False, True):
        if swept:
            ledger.sweep()
        entitlement = ledger.entitlement(CLEAN, "ada")
        assert entitlement.state is (State.GRACE if swept else State.EXPIRED)
        assert entitlement.clean_up is not None
        assert (entitlement.offered.longest_session_hours, entitlement.offered.dask.clusters) == (1, 0)
        assert [(name, size.rate) for name, size in entitlement.sizes(CLEAN).items()] == [("small", 0)]
        assert entitlement.refusal is not None
        assert entitlement.refusal.limit == "grace"
        assert "The last term of ada is over since 2027-02-20." in entitlement.refusal.message
        assert "for 1 hour at most" in entitlement.refusal.message
        # What was started and paid for keeps its own limits, and what is free the short ones.
        assert entitlement.limits_of("Medium server").longest_session_hours == 24
        assert entitlement.limits_of(CLEAN_UP).longest_session_hours == 1
    # Without such a server in the file, and for a project, there is none.
    assert ledger.entitlement(TIERS, "ada").sizes(TIERS) == {}
    ledger.grant("ada", 10, actor="admin", reason="More.", key="1")
    entitlement = ledger.entitlement(CLEAN, "ada")
    assert (entitlement.clean_up, entitlement.refusal) == (None, None)
    # A new term does not make the free server that runs into one that may run on.
    assert entitlement.limits_of(CLEAN_UP).longest_session_hours == 1


def test_a_project_whose_term_is_over_gives_its_members_no_free_server(ledger: Ledger, clock: Clock) -> None:
    ledger.open_project("survey", "explorer", pi="ada", actor="admin")
    assert ledger.entitlement(CLEAN, "survey", "ada").refusal is None
    ledger.grant("survey", 9, actor="admin", reason="x", key="1", end=clock.now + timedelta(days=1))
    clock.turn(DAY)
    entitlement = ledger.entitlement(CLEAN, "survey", "ada")
    assert (entitlement.state, entitlement.clean_up, entitlement.sizes(CLEAN)) == (State.EXPIRED, None, {})
    with pytest.raises(Refused, match="The last term of survey is over"):
        entitlement.check()


def test_a_suspended_account_says_why(ledger: Ledger) -> None:
    (one,) = ledger.allocations("ada")
    ledger.suspend(one.id, actor="admin", reason="Mining coins", key="1")
    entitlement = ledger.entitlement(CLEAN, "ada")
    with pytest.raises(Refused) as refused:
        entitlement.check()
    assert refused.value.limit == "suspended"
    assert "is suspended since 2026-11-22: Mining coins." in refused.value.message
    assert CLEAN.ask in refused.value.message
    assert entitlement.sizes(CLEAN) == {}
    # Whoever does not ask for the entitlement is told it by the admission: the admission itself says it too.
    with pytest.raises(Refused, match="is suspended since 2026-11-22: Mining coins"):
        ledger.admit("ada", kind="server", key="server:ada/", label="A server", rate=1)
    # Beside another allocation that pays, what is suspended is named where credits are short.
    ledger.grant("ada", 100, actor="admin", reason="x", key="2")
    assert ledger.entitlement(CLEAN, "ada").refusal is None
    with pytest.raises(Refused, match=r"Not enough credits.*Mining coins"):
        ledger.admit("ada", kind="server", key="server:ada/", label="A server", rate=1)
    ledger.resume(one.id, actor="admin", reason="x", key="3")
    assert ledger.entitlement(CLEAN, "ada").state is State.ACTIVE


# Effective limits --------------------------------------------------------------------------------------

_numbers = st.none() | st.integers(1, 50)
_limits = st.builds(
    lambda **chosen: {name: value for name, value in chosen.items() if value},
    sizes=st.lists(st.sampled_from(["small", "medium", "large", "gone"]), max_size=3).map(tuple),
    servers=_numbers,
    clusters=_numbers,
    workers=_numbers,
    idle_stop_minutes=_numbers,
    longest_session_hours=_numbers,
).filter(bool)


@st.composite
def _overrides(draw: st.DrawFn) -> Override:
    given_at = NOON + timedelta(hours=draw(st.integers(-100, 0)))
    withdrawn = draw(st.none() | st.integers(0, 100))
    return Override(
        id=draw(st.integers(1, 99)),
        account="ada",
        person=draw(st.sampled_from([None, "ada", "bob"])),
        limits=Overridden.model_validate(draw(_limits)),
        given_at=given_at,
        given_by="admin",
        reason="x",
        until=given_at + timedelta(hours=draw(st.integers(1, 200))),
        withdrawn_at=None if withdrawn is None else given_at,
    )


def _values(tiers: Tiers, given_: list[Override], name: str) -> set[int | None]:
    tier = tiers.tiers["explorer"]
    own = getattr(tier.dask if name in ("clusters", "workers") else tier, name)
    return {own, *(value for one in given_ if (value := getattr(one.limits, name)) is not None)}


@given(overrides=st.lists(_overrides(), max_size=5), hours=st.integers(0, 300))
def test_no_limit_is_above_what_the_tier_or_an_override_in_force_allows(
    overrides: list[Override], hours: int
) -> None:
    now = NOON + timedelta(hours=hours)
    found = effective(TIERS, "explorer", overrides, now, person="ada")
    counting = [
        one for one in overrides if now < one.until and one.withdrawn_at is None and one.person in (None, "ada")
    ]
    for name in ("servers", "clusters", "workers", "idle_stop_minutes", "longest_session_hours"):
        value = getattr(found.dask if name in ("clusters", "workers") else found, name)
        assert value in _values(TIERS, counting, name)
    extra = {size for one in counting for size in one.limits.sizes}
    allowed = [name for name in TIERS.sizes if name in {*TIERS.tiers["explorer"].sizes, *extra}]
    assert list(found.sizes) == allowed
    # By the date alone: what is over or withdrawn might as well not be there.
    assert found == effective(TIERS, "explorer", counting, now, person="ada")
    past = max((one.until for one in overrides), default=now)
    assert effective(TIERS, "explorer", overrides, past, person="ada") == TIERS.tiers["explorer"]
    # What does not concern money or people stays as the tier has it.
    assert (found.budget, found.term_days, found.dask.rate) == (
        TIERS.tiers["explorer"].budget,
        TIERS.tiers["explorer"].term_days,
        TIERS.tiers["explorer"].dask.rate,
    )
