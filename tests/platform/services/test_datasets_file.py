"""The file of data sets: what it says, where its mistakes are, and who may read what when."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from romanhub.cli import romanhub
from romanhub.services.datasetsfile import DatasetsFile, DatasetsFileError, load_datasets, parse_datasets

GIVEN = Path(__file__).resolve().parents[3] / "hub_config" / "datasets.yaml"

TEXT = """\
datasets:
  early:
    title: Early
    description: Not public yet.
    mission: Roman
    format: asdf
    bucket: roman-archive
    prefix: early/
    region: us-east-1
    access: {kind: embargo, until: 2027-10-01T00:00:00Z, groups: [team]}
    citation: {text: None yet.}
"""


def test_the_deployments_file_has_every_level_and_survey() -> None:
    found = load_datasets(GIVEN).datasets
    assert [found[f"roman-l{level}"].level for level in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert {"rubin", "euclid", "hsc", "hst", "erosita", "gaia"} <= set(found)


def test_an_embargo_ends_at_its_moment_and_groups_read_before() -> None:
    early = parse_datasets(TEXT, name="x").datasets["early"]
    end = datetime(2027, 10, 1, tzinfo=UTC)
    before = end - timedelta(microseconds=1)
    assert not early.open_to(["other"], before)
    assert early.open_to(["other", "team"], before)
    assert early.open_to([], end)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("title:", "titel:", 3, "did you mean 'title'?"),
        ("prefix: early/", "prefix: early", 8, "ends in a slash"),
        ("prefix: early/", "prefix: ear*ly/", 8, "not of the form"),
        ("T00:00:00Z", "", 10, "datasets.early.access.until"),
        ("kind: embargo", "kind: secret", 10, "'public', 'groups', 'embargo'"),
        ("    region: us-east-1\n", "", 2, "region: the key is missing"),
        ("    mission: Roman\n", "    mission: Roman\n    mission: Roman\n", 6, "is here twice, first on line 5"),
    ],
)
def test_a_mistake_is_said_with_its_line(old: str, new: str, line: int, says: str) -> None:
    with pytest.raises(DatasetsFileError) as refused:
        parse_datasets(TEXT.replace(old, new), name="sets.yaml")
    assert any(one.startswith(f"sets.yaml:{line}: ") and says in one for one in refused.value.mistakes), (
        refused.value
    )


def test_a_change_is_read_and_one_with_mistakes_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "datasets.yaml"
    path.write_text(TEXT)
    file = DatasetsFile(path)
    path.write_text(TEXT.replace("title: Early", "title: First"))
    os.utime(path, ns=(1, 1))
    assert file.current().datasets["early"].title == "First"
    path.write_text(TEXT.replace("title: Early", "titel: Second"))
    os.utime(path, ns=(2, 2))
    assert file.current().datasets["early"].title == "First"


def test_the_commands_check_and_show(tmp_path: Path) -> None:
    checked = CliRunner().invoke(romanhub, ["datasets", "check", str(GIVEN)])
    assert checked.exit_code == 0 and "without mistakes" in checked.output
    table = CliRunner().invoke(romanhub, ["datasets", "table", str(GIVEN)])
    assert "| `roman-l2` | Roman Level 2 |" in table.output
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TEXT.replace("format: asdf", "format: asd"))
    refused = CliRunner().invoke(romanhub, ["datasets", "check", str(wrong)])
    assert refused.exit_code == 1 and f"{wrong}:6: datasets.early.format" in refused.output


def test_what_fewer_may_read_is_not_within_what_more_may_read() -> None:
    inner = (
        TEXT.removeprefix("datasets:\n")
        .replace("early:", "inner:")
        .replace("prefix: early/", "prefix: early/inner/")
    )
    assert len(parse_datasets(TEXT + inner, name="sets.yaml").datasets) == 2
    public = inner.replace("    access: {kind: embargo, until: 2027-10-01T00:00:00Z, groups: [team]}\n", "")
    with pytest.raises(DatasetsFileError, match="The data set inner is within early"):
        parse_datasets(TEXT + public, name="sets.yaml")
