"""Scratch space with an end: its price, its limits, what it is charged, and what people are told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hubquota.cli import main
from hubquota.models.ledger import ImpossibleError, Refused
from hubquota.models.money import to_units
from hubquota.models.scratch import GIB, UnknownScratchError
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.reads import DataRead, DataReads
from hubquota.services.scratch import LONGEST_DAYS, ScratchSpaces
from hubquota.services.tiersfile import load_tiers

from tests.quota.support import Clock

DAY = 86_400
TIERS = Path(__file__).resolve().parents[2] / "hub_config" / "tiers.yaml"


@pytest.fixture
def tiers() -> Tiers:
    return load_tiers(TIERS)


@pytest.fixture
def spaces(ledger: Ledger) -> ScratchSpaces:
    ledger.open_account("ada", "explorer", to_units(50), actor="test", term_days=90)
    ledger.open_account("bob", "explorer", to_units(1), actor="test", term_days=90)
    return ScratchSpaces.sharing(ledger)


def keep(spaces: ScratchSpaces) -> int:
    return spaces.keep(lambda _account: 30)


def subjects(spaces: ScratchSpaces, person: str = "ada") -> list[str]:
    return [one.kind for one in spaces.notices(person)]


def test_its_price_is_size_times_time_and_that_is_what_it_is_charged(
    spaces: ScratchSpaces, tiers: Tiers, clock: Clock
) -> None:
    quote = spaces.quote(tiers, 40, 30)
    assert quote.price == to_units("0.00002") * 40 * 24 * 30
    one = spaces.make(tiers, "ada", person="ada", name="work", gib=40, days=30)
    assert one.ends_at == quote.ends_at
    for _ in range(31):
        clock.turn(DAY)
        keep(spaces)
        spaces.extend_due()
    ended = spaces.scratch(one.id)
    assert (ended.state, ended.ended_at) == ("ended", quote.ends_at)
    lease = spaces.lease(one.lease)
    assert lease is not None and lease.charged == quote.price
    assert spaces.balance("ada").available == to_units(50) - quote.price
    assert not spaces.verify()


def test_people_are_told_at_half_time_three_days_one_day_and_at_the_end(
    spaces: ScratchSpaces, tiers: Tiers, clock: Clock
) -> None:
    spaces.make(tiers, "ada", person="ada", name="work", gib=1, days=10)
    told: list[int] = []
    for _ in range(11):
        keep(spaces)
        keep(spaces)
        told.append(len(subjects(spaces)))
        clock.turn(DAY)
    # Days:        0  1  2  3  4  5  6  7  8  9 10
    assert told == [0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4]
    assert subjects(spaces)[0] == "scratch-ended"


def test_the_tiers_limit_and_the_balance_refuse(spaces: ScratchSpaces, tiers: Tiers) -> None:
    spaces.make(tiers, "ada", person="ada", name="one", gib=40, days=30)
    with pytest.raises(Refused, match="40 GiB of scratch open, and its tier allows 50 GiB") as refused:
        spaces.make(tiers, "ada", person="ada", name="two", gib=11, days=30)
    assert refused.value.limit == "size"
    with pytest.raises(Refused, match="Not enough credits: this costs") as refused:
        spaces.make(tiers, "bob", person="bob", name="one", gib=50, days=90)
    assert refused.value.limit == "budget"
    with pytest.raises(Refused, match="account of another user"):
        spaces.make(tiers, "ada", person="bob", name="mine", gib=1, days=1)
    assert [one.name for one in spaces.all_there()] == ["one"]
    assert len(spaces.open_leases("scratch")) == 1


@pytest.mark.parametrize(
    ("name", "gib", "days"),
    [("Work", 1, 1), ("a/b", 1, 1), ("work", 0, 1), ("work", 1, 0), ("work", 1, LONGEST_DAYS + 1)],
)
def test_what_cannot_be_is_refused(spaces: ScratchSpaces, tiers: Tiers, name: str, gib: int, days: int) -> None:
    with pytest.raises(ValueError, match="scratch space"):
        spaces.make(tiers, "ada", person="ada", name=name, gib=gib, days=days)
    assert not spaces.all_there()


def test_who_may_not_use_an_account_is_not_told_what_is_on_it(
    spaces: ScratchSpaces, ledger: Ledger, tiers: Tiers
) -> None:
    ledger.open_account("bob", "explorer", to_units(10), actor="test")
    spaces.make(tiers, "ada", person="ada", name="work", gib=1, days=1)
    for name in ("work", "other"):
        with pytest.raises(Refused, match="the account of another user"):
            spaces.make(tiers, "ada", person="bob", name=name, gib=1, days=1)


def test_a_release_ends_the_charge_and_its_name_is_free_when_it_is_cleared(
    spaces: ScratchSpaces, tiers: Tiers, clock: Clock
) -> None:
    one = spaces.make(tiers, "ada", person="ada", name="work", gib=10, days=30)
    clock.turn(3600)
    released = spaces.release(one.id, person="ada")
    assert (released.state, spaces.release(one.id, person="ada").ended_at) == ("ended", clock.now)
    lease = spaces.lease(one.lease)
    assert lease is not None and lease.charged == one.rate * 3600
    with pytest.raises(ImpossibleError, match="still kept"):
        spaces.make(tiers, "ada", person="ada", name="work", gib=1, days=1)
    assert spaces.put_aside(one.id)
    with pytest.raises(ImpossibleError, match="taken away"):
        spaces.prolong(tiers, one.id, days=1, person="ada")
    spaces.cleared(one.id)
    assert spaces.make(tiers, "ada", person="ada", name="work", gib=1, days=1).id != one.id
    with pytest.raises(UnknownScratchError):
        spaces.scratch(4711)


def test_an_ended_one_is_opened_again_by_extending_it(spaces: ScratchSpaces, tiers: Tiers, clock: Clock) -> None:
    one = spaces.make(tiers, "ada", person="ada", name="work", gib=10, days=1)
    longer = spaces.prolong(tiers, one.id, days=1, person="ada")
    assert longer.ends_at == one.ends_at + timedelta(days=1)
    clock.turn(3 * DAY)
    assert keep(spaces) == 1
    assert not spaces.open_leases("scratch")
    again = spaces.prolong(tiers, one.id, days=2, person="ada")
    assert (again.state, again.ends_at) == ("open", clock.now + timedelta(days=2))
    assert not spaces.put_aside(one.id), "what is open is not taken away"
    assert not spaces.verify()


def test_what_nothing_pays_for_ends(spaces: ScratchSpaces, tiers: Tiers, clock: Clock) -> None:
    one = spaces.make(tiers, "ada", person="ada", name="work", gib=50, days=300)
    clock.turn(91 * DAY)
    assert keep(spaces) == 1
    assert spaces.scratch(one.id).reason == "Nothing pays for it any more."


def test_what_is_in_it_is_measured(spaces: ScratchSpaces, tiers: Tiers) -> None:
    one = spaces.make(tiers, "ada", person="ada", name="work", gib=1, days=1)
    assert not spaces.scratch(one.id).is_over
    spaces.measured(one.id, GIB + 1)
    assert spaces.scratch(one.id).is_over


def test_what_was_read_is_counted_once_and_by_day(ledger: Ledger, clock: Clock) -> None:
    counted = DataReads.sharing(ledger)
    found = [DataRead("roman-l2", "us-east-1", "", 100, 2), DataRead("roman-l2", "us-east-1", "c1", 50, 1)]
    assert counted.count("ada", "report-1", found)
    assert not counted.count("ada", "report-1", found)
    assert counted.count("bob", "report-1", found[:1])
    clock.turn(DAY)
    assert counted.count("ada", "report-2", found[:1])
    assert counted.of_person("ada", 2) == [
        DataRead("roman-l2", "us-east-1", "", 200, 4),
        DataRead("roman-l2", "us-east-1", "c1", 50, 1),
    ]
    assert [one.bytes for one in counted.of_person("ada", 1)] == [100]
    assert counted.totals(2) == [DataRead("roman-l2", "us-east-1", "", 350, 7)]


def test_the_command_makes_lists_extends_and_releases(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"

    def run(*words: str) -> str:
        found = CliRunner().invoke(main, [*words, "--database-url", url], env={"HUBQUOTA_TIERS": str(TIERS)})
        assert found.exit_code == 0, found.output
        return found.output

    run("migrate")
    run("account", "open", "ada", "--tier", "explorer")
    assert "10 GiB for 30 days cost 0.15 credits" in run("scratch", "price", "10", "30")
    assert "work" in run("scratch", "make", "ada", "work", "10", "30")
    run("scratch", "extend", "1", "5")
    assert "ended" in run("scratch", "release", "1")
    assert '"state": "ended"' in run("scratch", "list", "--json")
