"""Whoever is given other limits, or a part in a project, is told so once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hubquota.models.overrides import Overridden
from hubquota.services.groups import GroupProjects
from hubquota.services.ledger import Ledger
from hubquota.services.notices import Notices
from hubquota.services.tierchange import TierChange
from sqlalchemy import Engine

from tests.quota.support import Clock

CREDIT = 3_600_000_000


@pytest.fixture
def notices(engine: Engine, clock: Clock, ledger: Ledger) -> Notices:
    """Ada leads the project survey, and Eve is in it."""
    ledger.open_account("ada", "explorer", CREDIT, actor="test", term_days=90)
    ledger.open_project("survey", "team", pi="ada", actor="ada")
    ledger.set_member("survey", "eve", "member", actor="ada")
    return Notices(engine, clock)


def told(notices: Notices, person: str) -> list[tuple[str, bool]]:
    """What somebody was told, oldest first, and whether they may choose not to be."""
    return [(notice.kind, notice.optional) for notice in notices.notices(person)][::-1]


def test_a_member_is_told_what_they_are(notices: Notices, ledger: Ledger, clock: Clock) -> None:
    for role in ("member", "pi", None, None, "member"):
        ledger.set_member("survey", "eve", role, actor="ada")
    assert told(notices, "eve") == [
        ("member-added", True),
        ("member-added", True),
        ("member-ended", False),
        ("member-added", True),
    ]
    assert [notice.subject for notice in notices.notices("eve")][:3] == [
        "eve is a member of the project survey",
        "eve is not in the project survey any more",
        "eve is a PI of the project survey",
    ]
    assert "was ended, by ada." in notices.notices("eve")[1].text
    # What she did herself she need not be told.
    assert told(notices, "ada") == []


def test_who_comes_into_a_project_by_a_group_is_told(notices: Notices, engine: Engine, clock: Clock) -> None:
    groups = GroupProjects(engine, clock)
    for _ in range(2):
        groups.sync_person("bob", {"roman-x": ("team", False)})
    groups.sync_person("bob", {})
    assert told(notices, "bob") == [("member-added", True), ("member-ended", False)]


def test_an_override_is_told_to_whom_it_is_for(notices: Notices, ledger: Ledger, clock: Clock) -> None:
    until = clock.now + timedelta(days=3)
    for _ in range(2):
        one = ledger.give_override(
            "ada", Overridden(servers=2, sizes=("large",)), until, actor="root", reason="A workshop.", key="1"
        )
    (notice,) = notices.notices("ada")
    assert (notice.kind, notice.optional) == ("override-given", True)
    assert "servers at once for each person: 2; sizes besides the tier's: large" in notice.text
    assert f"until {until:%Y-%m-%d %H:%M} UTC" in notice.text
    assert notice.text.endswith("A workshop.")
    for _ in range(2):
        ledger.withdraw_override(one.id, actor="root", reason="It is over.")
    assert told(notices, "ada") == [("override-given", True), ("override-withdrawn", False)]

    two = ledger.give_override(
        "survey", Overridden(workers=9), until, actor="root", reason="x", key="2", person="eve"
    )
    assert told(notices, "eve")[1:] == told(notices, "ada")[2:] == [("override-given", True)]
    # Of one whose date is past nobody needs to hear.
    clock.turn(4 * 86_400)
    ledger.withdraw_override(two.id, actor="root", reason="x")
    assert len(notices.notices("eve")) == 2


def test_a_cap_is_told_to_the_member_and_other_pis(notices: Notices, ledger: Ledger, clock: Clock) -> None:
    ledger.set_member("survey", "pia", "pi", actor="ada")
    for amount, workers in ((5 * CREDIT, 4), (5 * CREDIT, 4), (None, 4), (None, None), (None, None)):
        ledger.set_cap("survey", "eve", credits=amount, workers=workers, actor="ada", reason="Fair shares")
    wanted = [("cap-set", False), ("cap-set", False), ("cap-lifted", True)]
    assert told(notices, "eve")[1:] == told(notices, "pia")[1:] == wanted
    assert told(notices, "ada") == []
    texts = [notice.text for notice in notices.notices("eve")]
    assert "eve may spend 5.00 credits in a term and run 4 Dask workers at once and no more, by ada." in texts[2]
    assert texts[0].endswith("Fair shares")


def test_another_tier_is_told_once(notices: Notices, ledger: Ledger, engine: Engine, clock: Clock) -> None:
    for _ in range(2):
        TierChange(engine, clock).change_tier("ada", "team", CREDIT, actor="root", reason="More data", key="1")
    (notice,) = notices.notices("ada")
    assert (notice.kind, notice.subject) == ("tier-changed", "ada is moved to the tier team")
    assert "1.00 credits, without an end." in notice.text
    assert notice.text.endswith("More data")
