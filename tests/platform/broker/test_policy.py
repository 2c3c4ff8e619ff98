"""Session policies: as short as can be, and never more than AWS takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from romanhub.broker.policy import LONGEST, PolicyTooLongError, session_policy
from romanhub.models.credentials import ScratchPlace
from romanhub.models.datasets import Citation, Dataset
from romanhub.services.datasetsfile import load_datasets

GIVEN = Path(__file__).resolve().parents[3] / "hub_config" / "datasets.yaml"


def dataset(prefix: str, bucket: str = "roman-archive", index: str | None = None) -> Dataset:
    return Dataset(
        bucket=bucket,
        prefix=prefix,
        region="us-east-1",
        title="x",
        description="x",
        mission="x",
        format="asdf",
        index=index,
        citation=Citation(text="x"),
    )


def place(prefix: str, *, writable: bool = True) -> ScratchPlace:
    return ScratchPlace(
        bucket="scratch",
        prefix=prefix,
        region="r-1",
        writable=writable,
        ends=datetime(2027, 1, 1, tzinfo=UTC),
        gib=1,
    )


def test_the_deployments_data_sets_and_some_scratch_fit() -> None:
    own = {f"s{number}": place(f"scratch/somebody-with-a-name/space-{number}/") for number in range(5)}
    assert len(session_policy(load_datasets(GIVEN).datasets, own)) < LONGEST


def test_what_is_within_another_prefix_is_left_out() -> None:
    found = {"all": dataset("roman/"), "l2": dataset("roman/level2/", index="roman/index.json")}
    reads, lists = json.loads(session_policy(found, {}))["Statement"]
    assert reads["Resource"] == "arn:aws:s3:::roman-archive/roman/*"
    assert lists["Condition"] == {"StringLike": {"s3:prefix": "roman/*"}}


def test_a_prefix_is_not_taken_for_another_that_begins_alike() -> None:
    found = {"a": dataset("roman/"), "b": dataset("romano/")}
    assert len(json.loads(session_policy(found, {}))["Statement"][0]["Resource"]) == 2


def test_the_same_rights_give_the_same_text() -> None:
    one, other = dataset("a/"), dataset("b/")
    assert session_policy({"x": one, "y": other}, {}) == session_policy({"y": other, "x": one}, {})


def test_nothing_is_denied_rather_than_left_open() -> None:
    assert json.loads(session_policy({}, {}))["Statement"] == [{"Effect": "Deny", "Action": "*", "Resource": "*"}]


def test_what_is_too_long_is_refused_with_what_to_do() -> None:
    many = {f"d{number}": dataset(f"a-rather-long-prefix/number-{number}/") for number in range(60)}
    with pytest.raises(PolicyTooLongError, match=r"60 data sets .* the limit is 2048.*\?dataset=NAME"):
        session_policy(many, {})
