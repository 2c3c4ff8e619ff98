from __future__ import annotations

import logging
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hubquota.models.money import to_units
from hubquota.models.tiers import Tiers
from hubquota.services.tiersfile import TiersFile, TiersFileError, load_tiers, parse_tiers
from pydantic import ValidationError

from tests.quota.support import HERE

GOOD = (HERE / "hub_tiers.yaml").read_text()


def mistakes(text: str) -> list[str]:
    with pytest.raises(TiersFileError) as caught:
        parse_tiers(text, name="tiers.yaml")
    assert str(caught.value).splitlines() == list(caught.value.mistakes)
    return list(caught.value.mistakes)


def test_every_mistake_is_told_with_its_line_and_what_is_allowed() -> None:
    assert mistakes((HERE / "wrong_tiers.yaml").read_text()) == (HERE / "wrong_tiers.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "",
            "tiers.yaml:1: the file is empty; allowed: the keys ask, rates, sizes, tiers, first_tier, clean_up, "
            "projects",
        ),
        (
            "- 1",
            "tiers.yaml:1: (top): a mapping is expected, not a list; "
            "allowed: the keys ask, rates, sizes, tiers, first_tier, clean_up, projects",
        ),
        ("a: 1\nb: [", "tiers.yaml:2: the file is not YAML: expected the node content, but found '<stream end>'"),
        (
            "a: !!python/name:os.system",
            "tiers.yaml:1: the file is not YAML: could not determine a constructor for the "
            "tag 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("a: 2020-99-99", "tiers.yaml: the file is not YAML: month must be in 1..12"),
    ],
)
def test_what_is_no_tiers_file_at_all_is_told(text: str, told: str) -> None:
    assert mistakes(text) == [told]


def test_a_file_that_refers_to_itself_is_told_and_not_followed_for_ever() -> None:
    keys = "ask, rates, sizes, tiers, first_tier, clean_up, projects"
    assert f"tiers.yaml:1: a: there is no key 'a'; allowed: {keys}" in mistakes("a: &a {b: *a}")


def test_a_key_that_is_there_twice_is_told_with_both_lines() -> None:
    assert mistakes(GOOD + "ask: again\n") == [
        f"tiers.yaml:{len(GOOD.splitlines()) + 1}: ask: the key 'ask' is here twice, first on line 2; keep one"
    ]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(TiersFileError, match=r"tiers\.yaml: the file cannot be read: No such file or directory"):
        load_tiers(tmp_path / "tiers.yaml")
    (tmp_path / "tiers.yaml").write_bytes(b"ask: \xff")
    with pytest.raises(TiersFileError, match="the file is not UTF-8 text"):
        load_tiers(tmp_path / "tiers.yaml")


def test_the_platforms_own_file_is_without_mistakes(tiers: Tiers) -> None:
    assert list(tiers.tiers) == ["explorer", "researcher", "team"]


def test_the_first_rule_of_the_file_that_names_a_group_decides() -> None:
    tiers = parse_tiers(GOOD, name="tiers.yaml")
    assert tiers.tier_for(["the-poor", "the-broke"]) == "broke"
    assert tiers.tier_for({"the-poor"}) == "poor"
    assert tiers.tier_for([]) == "explorer"


def test_names_that_do_not_agree_are_found_in_tiers_made_by_hand() -> None:
    raw = yaml.safe_load(GOOD)
    raw["first_tier"]["default"] = "nobody"
    with pytest.raises(ValidationError, match="there is no tier 'nobody'; allowed: explorer, poor, broke"):
        Tiers.model_validate(raw)


def test_a_change_is_read_and_one_with_mistakes_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tiers.yaml"
    path.write_text(GOOD)
    file = TiersFile(path)
    assert file.current() is file.current()

    path.write_text(GOOD.replace("budget: 81", "budget: 82"))
    assert file.current().tiers["explorer"].budget == 82

    with caplog.at_level(logging.ERROR):
        path.write_text(GOOD.replace("budget: 81", "budget: plenty"))
        assert file.current().tiers["explorer"].budget == 82
        assert file.current().tiers["explorer"].budget == 82
    assert len(caplog.records) == 1  # once, not at every look
    assert "tiers.explorer.budget: a number is expected, not 'plenty'" in caplog.text

    path.unlink()
    assert file.current().tiers["explorer"].budget == 82
    path.write_text(GOOD)
    assert file.current().tiers["explorer"].budget == 81


# The rate card ----------------------------------------------------------------------------------------

RATES = """
rates:
  - {valid_from: 2026-01-01, core_hour: 0.02, gib_hour: 0.005}
  - {valid_from: 2027-01-01, core_hour: 0.03, gib_hour: 0.005, storage_gib_hour: 0.00002}
"""
PRICED = GOOD.replace("    price: 0.15\n", "").replace("price: 0.04, idle", "idle") + RATES


def test_prices_follow_from_the_rates_of_the_day_unless_they_are_said() -> None:
    then, later = (parse_tiers(PRICED, name="tiers.yaml", on=date(year, 1, 1)) for year in (2026, 2027))
    assert (then.sizes["medium"].price, later.sizes["medium"].price) == (Decimal("0.16"), Decimal("0.2"))
    assert then.tiers["explorer"].dask.price == Decimal("0.04")
    assert then.sizes["large"].price == later.sizes["large"].price == Decimal("0.45")
    assert later.rates[1].storage_rate(100) == 2000
    assert later.sizes["medium"].rate * 3600 == to_units("0.2")


def test_a_price_that_follows_from_nothing_is_missing() -> None:
    told = [
        line for line in _told(PRICED, date(2025, 12, 31)) if line.endswith("without it, what the `rates` say")
    ]
    assert len(told) == 4
    assert "sizes.medium.price: the key is missing" in told[0]


@pytest.mark.parametrize(
    ("rates", "told"),
    [
        ("[{valid_from: 2026-01-01, core_hour: 0.02, gib_hour: -1}]", "rates.0.gib_hour: -1 is too small"),
        ("[{valid_from: soon, core_hour: 0.02, gib_hour: 0}]", "rates.0.valid_from: input should be a valid date"),
        ("[{core: 1}]", "rates.0.core: there is no key 'core'"),
        ("7", "rates: a list is expected, not 7"),
        (
            "[{valid_from: 2026-01-01, core_hour: 1, gib_hour: 0}, "
            "{valid_from: 2026-01-01, core_hour: 2, gib_hour: 0}]",
            "rates.1.valid_from: 2026-01-01 is there twice; keep one",
        ),
    ],
)
def test_mistakes_in_the_rates_are_told(rates: str, told: str) -> None:
    assert any(told in line for line in mistakes(f"{GOOD}rates: {rates}\n"))


def test_new_rates_count_from_their_first_day_on_without_a_change_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "tiers.yaml").write_text(PRICED)
    day = date(2026, 12, 31)
    file = TiersFile(tmp_path / "tiers.yaml", lambda: day)
    before = file.current()
    assert file.current() is before
    day = date(2027, 1, 1)
    assert file.current().sizes["medium"].price == Decimal("0.2")
    assert before.sizes["medium"].price == Decimal("0.16")
    assert file.current() is file.current()


def test_the_largest_of_several_tiers_is_the_last_in_the_file() -> None:
    tiers = parse_tiers(GOOD, name="tiers.yaml")
    assert tiers.largest(["broke", "explorer"]) == "broke"
    assert tiers.largest(["explorer", "gone"]) == "explorer"
    assert tiers.largest(("gone",)) == "gone"
    with pytest.raises(ValueError, match="no tiers"):
        tiers.largest([])


def _told(text: str, on: date) -> list[str]:
    with pytest.raises(TiersFileError) as caught:
        parse_tiers(text, name="tiers.yaml", on=on)
    return list(caught.value.mistakes)
