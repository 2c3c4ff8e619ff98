from __future__ import annotations

import pytest
from hubquota.models.money import to_units
from hubquota.models.tiers import CleanUp, RenewsItself, Tiers, WhenDown
from hubquota.models.words import duration_text
from hubquota.services.describe import hours_text, linked, sizes_for, tier_table
from hubquota.services.tiersfile import parse_tiers

from tests.quota.support import HERE


@pytest.fixture
def few() -> Tiers:
    return parse_tiers((HERE / "hub_tiers.yaml").read_text(), name="tiers.yaml")


def test_a_size_is_told_in_one_line(few: Tiers) -> None:
    small, medium = sizes_for(few, "explorer", to_units(81))
    assert small.text == "Small, 1 core, 4 GB: 0.04 credits an hour, about 2,025 hours left"
    assert medium.text == "Medium, 4 cores, 16 GB: 0.15 credits an hour, about 540 hours left"
    assert medium.hours == 540
    assert (small.is_default, medium.is_default) == (False, True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "nothing left"),
        (59, "nothing left"),
        (60, "about 1 minute left"),
        (3599, "about 59 minutes left"),
        (3600, "about 1 hour left"),
        (5400, "about 1.5 hours left"),
        (35_999, "about 9.9 hours left"),
        (36_000, "about 10 hours left"),
        (43_199, "about 11 hours left"),
    ],
)
def test_what_is_left_is_never_more_than_there_is(seconds: int, text: str) -> None:
    assert hours_text(seconds) == text


def test_a_size_is_within_reach_exactly_when_its_first_ten_minutes_are(few: Tiers) -> None:
    needed = few.sizes["medium"].rate * 600
    assert sizes_for(few, "explorer", needed)[1].affordable
    short = sizes_for(few, "explorer", needed - 1)[1]
    assert not short.affordable
    assert short.reason == "A start needs 0.03 credits, and 0.02 are available."


def test_what_costs_nothing_is_within_reach_of_everybody(few: Tiers) -> None:
    text = (HERE / "hub_tiers.yaml").read_text().replace("price: 0.15", "price: 0")
    free = sizes_for(parse_tiers(text, name="tiers.yaml"), "explorer", -1)[1]
    assert free.affordable
    assert free.text == "Medium, 4 cores, 16 GB: free of charge"
    assert free.hours is None


def test_the_tables_have_every_size_and_every_tier_and_stay_tables(few: Tiers) -> None:
    text = (HERE / "hub_tiers.yaml").read_text().replace("title: Large", "title: Large | very")
    table = tier_table(parse_tiers(text, name="tiers.yaml"))
    assert "| Medium | 4 | 16 GB | 0.15 credits an hour | Explorer, Poor, Broke |" in table
    assert "| Large \\| very | 8 | 64 GB | 0.45 credits an hour | no tier |" in table
    assert (
        "| Explorer | For everybody. | 81 credits for 90 days | Small, Medium | 1 cluster, 4 workers of 1 core "
        "and 4 GB, each 0.04 credits an hour | 10 GB | 50 GB | 1 hour without activity, or 24 hours in all |"
    ) in table
    assert "| Poor | For people with next to nothing. | 0.01 credits for 90 days | Small, Medium | none |" in table


def test_the_table_has_columns_for_what_the_file_sets(few: Tiers) -> None:
    plain = few.model_copy(
        update={
            "clean_up": None,
            "when_down": None,
            "tiers": {
                name: tier.model_copy(update={"servers": None, "renews_itself": None, "when_down": None})
                for name, tier in few.tiers.items()
            },
        }
    )
    table = tier_table(plain)
    for word in ("Servers at once", "Renews itself", "Without the ledger's answer", "clean-up server"):
        assert word not in table
    set_here = {
        "servers": 2,
        "renews_itself": RenewsItself(active_within_days=60),
        "when_down": WhenDown(starts=0, minutes=5),
    }
    full = plain.model_copy(
        update={
            "clean_up": CleanUp(size="small"),
            "when_down": WhenDown(starts=2, minutes=30),
            "tiers": {**plain.tiers, "explorer": plain.tiers["explorer"].model_copy(update=set_here)},
        }
    )
    table = tier_table(full)
    assert "| A server is stopped after | Servers at once | Renews itself | Without the ledger's answer |" in table
    assert "| 2 | for whoever was charged in the last 60 days | nothing starts |" in table
    assert "| any number | no | 2 starts of 30 minutes |" in table
    assert "clean-up server free of charge: Small, stopped after 15 minutes without activity, or 1 hour" in table


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Write <to> us & ask.", "Write &lt;to&gt; us &amp; ask."),
        (
            "See https://a.example/?x=1&y=2.",
            'See <a href="https://a.example/?x=1&amp;y=2">https://a.example/?x=1&amp;y=2</a>.',
        ),
        ("(http://a.example)", '(<a href="http://a.example">http://a.example</a>)'),
        ('https://a.example"onclick="x', '<a href="https://a.example">https://a.example</a>&#34;onclick=&#34;x'),
        ("javascript:alert(1)", "javascript:alert(1)"),
    ],
)
def test_addresses_become_links_and_nothing_else_becomes_html(text: str, html: str) -> None:
    assert linked(text) == html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (90, "90 seconds"),
        (600, "10 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
    ],
)
def test_a_length_of_time_is_told_in_its_largest_whole_unit(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text
