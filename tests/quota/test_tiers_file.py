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

#: Every key that the file may have at its top.
KEYS = ", ".join(Tiers.model_fields)


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
            f"tiers.yaml:1: the file is empty; allowed: the keys {KEYS}",
        ),
        (
            "- 1",
            f"tiers.yaml:1: (top): a mapping is expected, not a list; allowed: the keys {KEYS}",
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
    assert f"tiers.yaml:1: a: there is no key 'a'; allowed: {KEYS}" in mistakes("a: &a {b: *a}")


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
    assert list(tiers.tiers) == ["explorer", "researcher", "team", "robot"]


def test_the_first_rule_of_the_file_that_names_a_group_decides() -> None:
    tiers = parse_tiers(GOOD, name="tiers.yaml")
    assert tiers.tier_for(["the-poor", "the-broke"]) == "broke"
    assert tiers.tier_for({"the-poor"}) == "poor"
    assert tiers.tier_for([]) == "explorer"


CLAIMS = """first_tier:
  claims:
    - {claim: eduperson_scoped_affiliation, matches: "*@stsci.edu", tier: poor}
    - {claim: team, matches: roman, tier: broke}
"""


@pytest.mark.parametrize(
    ("claims", "tier"),
    [
        ({"eduperson_scoped_affiliation": "staff@stsci.edu"}, "poor"),
        ({"eduperson_scoped_affiliation": ["x@elsewhere.edu", "staff@stsci.edu"], "team": "roman"}, "poor"),
        ({"cilogon_user": {"team": "roman"}, "token": "secret"}, "broke"),
        ({"eduperson_scoped_affiliation": "staff@stsci.edu.elsewhere.org"}, "explorer"),
        ({"eduperson_scoped_affiliation": 7, "team": ["romans"]}, "explorer"),
        ({}, "explorer"),
        (None, "explorer"),
    ],
)
def test_the_first_rule_whose_claim_matches_decides(claims: dict[str, object] | None, tier: str) -> None:
    tiers = parse_tiers(GOOD.replace("first_tier:\n", CLAIMS), name="tiers.yaml")
    assert tiers.tier_for([], claims) == tier
    # Where no claim matches, the groups decide.
    assert tiers.tier_for(["the-poor"], claims) == ("poor" if tier == "explorer" else tier)


def test_warnings_and_the_allowance_have_defaults_and_limits() -> None:
    tiers = parse_tiers(GOOD, name="tiers.yaml")
    assert tiers.warnings.minutes_before_stop == (60, 10)
    assert [str(part) for part in tiers.warnings.budget_left] == ["0.25", "0.1"]
    assert tiers.allowance("explorer") is None
    more = GOOD.replace("    title: Poor", "    when_down: {starts: 0, minutes: 5}\n    title: Poor")
    tiers = parse_tiers(more + "when_down: {starts: 2, minutes: 30}\n", name="tiers.yaml")
    allowed = tiers.allowance("explorer")
    assert allowed is not None
    assert (allowed.starts, allowed.minutes) == (2, 30)
    assert tiers.allowance("poor") is None
    wrong = GOOD + "warnings: {budget_left: [1.5, 0], minutes_before_stop: [0]}\nwhen_down: {starts: -1}\n"
    line = len(GOOD.splitlines()) + 1
    assert mistakes(wrong) == [
        f"tiers.yaml:{line}: warnings.budget_left.0: 1.5 is too large; allowed: less than 1",
        f"tiers.yaml:{line}: warnings.budget_left.1: 0 is too small; allowed: more than 0",
        f"tiers.yaml:{line}: warnings.minutes_before_stop.0: 0 is too small; allowed: 1 or more",
        f"tiers.yaml:{line + 1}: when_down.starts: -1 is too small; allowed: 0 or more",
        f"tiers.yaml:{line + 1}: when_down.minutes: the key is missing; it says: A server that was started so is "
        "stopped after so many minutes",
    ]
    claims = CLAIMS.replace("tier: poor", "tier: nobody").replace("matches: roman, ", "")
    assert [text.split(": ", 1)[1] for text in mistakes(GOOD.replace("first_tier:\n", claims))] == [
        "first_tier.claims.0.tier: there is no tier 'nobody'; allowed: explorer, poor, broke",
        "first_tier.claims.1.matches: the key is missing; it says: A pattern for its value, such as *@stsci.edu, "
        "with * for anything; of a list, any counts",
    ]


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
