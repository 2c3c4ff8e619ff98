"""Whatever happens, a member of a project spends no more than their cap."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from hubquota.models.ledger import Refused
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.quota.support import Clock

_acts = st.lists(
    st.tuples(
        st.sampled_from(["start", "end", "turn", "extend", "rate"]),
        st.sampled_from(["ada", "ada", "eve"]),
        st.integers(0, 2),
        st.integers(1, 900),
    ),
    max_size=15,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=_acts, most=st.integers(0, 500))
def test_whatever_happens_nobody_spends_more_than_their_cap(
    sqlite_template: Path, acts: list[tuple[str, str, int, int]], most: int
) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(f"sqlite:///{shutil.copy(sqlite_template, Path(folder) / 'ledger.sqlite')}")
        ledger = Ledger(engine, clock)
        ledger.open_project("survey", "team", pi="eve", actor="admin")
        ledger.set_member("survey", "ada", "member", actor="eve")
        ledger.grant("survey", 1_000_000, actor="admin", reason="x", key="1")
        ledger.set_cap("survey", "ada", credits=most, actor="eve", reason="x")
        for act, person, number, value in acts:
            before = _left(ledger)
            with suppress(Refused):
                _do(ledger, clock, act, f"server:{person}/{number}", person, value)
            (use,) = [one for one in ledger.member_use("survey") if one.member == "ada"]
            assert use.spent <= most
            # What runs past its hold takes what is held for another one; nothing else takes more than is left.
            assert act == "turn" or _left(ledger) >= min(0, before)
        assert ledger.verify() == []
        engine.dispose()


def _left(ledger: Ledger) -> int:
    (use,) = [one for one in ledger.member_use("survey") if one.member == "ada"]
    assert use.left is not None
    return use.left


def _do(ledger: Ledger, clock: Clock, act: str, key: str, person: str, value: int) -> None:
    lease = ledger.open_lease(key)
    if act == "turn":
        # As the watch does: what runs is stopped at the moment at which nothing pays for it any more.
        ending, wanted = ledger.ends_at("survey", "ada"), clock.now + timedelta(seconds=value)
        if ending is not None and ending.at <= wanted:
            clock.now = ending.at
            for one in ledger.open_leases(person="ada"):
                ledger.close(one.id, reason=ending.reason)
        clock.now = wanted
    elif act == "start" and lease is None:
        lease = ledger.admit(
            "survey", kind="server", key=key, label="A server", rate=value % 3, person=person, minimum_seconds=60
        )
        ledger.begin(lease.id)
    elif lease is not None and act == "end":
        ledger.close(lease.id, reason="x")
    elif lease is not None and act == "extend":
        ledger.seen([key])
        ledger.extend(lease.id, ahead=value)
    elif lease is not None and act == "rate":
        ledger.set_rate(lease.id, value % 4)
