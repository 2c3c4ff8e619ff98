"""What comes before an install: it can run twice, and says in one sentence what is wrong."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import is_current
from hubquota.storage.tables import VERSION_TABLE
from romanhub.chart.prepare import prepare
from romanhub.community.proof.queue import Queue
from romanhub.community.proof.settings import RunSettings
from romanhub.community.storage.tables import MIGRATIONS as CATALOGUE
from romanhub.local.environments import SetupError
from sqlalchemy import text

from tests.quota.conftest import _postgres_command, postgres
from tests.quota.support import Postgres

__all__ = ["postgres"]  # the fixture

ROOT = Path(__file__).resolve().parents[3]
TIERS = ROOT / "hub_config" / "tiers.yaml"


@pytest.fixture
def told(postgres: Postgres, tmp_path: Path) -> dict[str, str]:
    """What the chart's job is told, with two empty databases."""
    name = f"chart_{uuid4().hex[:8]}"
    for database in (f"{name}_l", f"{name}_h"):
        postgres.new_database(database)
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"url": "https://hub.example.org"}))
    return {
        "HUBQUOTA_DATABASE_URL": postgres.url(f"{name}_l"),
        "ROMANHUB_HUB_DATABASE_URL": postgres.url(f"{name}_h"),
        "HUBQUOTA_TIERS": str(TIERS),
        "ROMANHUB_DATASETS": str(ROOT / "hub_config" / "datasets.yaml"),
        "ROMANHUB_SETTINGS": str(settings),
    }


def test_it_runs_twice_and_twice_at_once(told: dict[str, str]) -> None:
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(prepare, [told, told, told]))
    assert [lines[-1] for lines in said] == ["The ledger's database is up to date."] * 3
    assert prepare(told) == said[0]
    assert is_current(make_engine(told["HUBQUOTA_DATABASE_URL"]))


@pytest.fixture
def with_community(told: dict[str, str], postgres: Postgres) -> dict[str, str]:
    """The same, with a community."""
    name = f"chart_{uuid4().hex[:8]}_c"
    postgres.new_database(name)
    settings = Path(told["ROMANHUB_SETTINGS"])
    settings.write_text(yaml.safe_dump({"url": "https://hub.example.org", "community": {"bucket": "mine-alone"}}))
    return {**told, "ROMANHUB_COMMUNITY_DATABASE_URL": postgres.url(name)}


def test_the_communitys_catalogue_is_brought_up_to_date_too(with_community: dict[str, str]) -> None:
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(prepare, [with_community, with_community]))
    assert [lines[-1] for lines in said] == ["The community's database is up to date."] * 2
    engine = make_engine(with_community["ROMANHUB_COMMUNITY_DATABASE_URL"])
    assert is_current(engine, CATALOGUE)
    assert Queue(engine, RunSettings(), lambda: datetime.now(UTC)).claim() == [], "the runner can ask it"
    engine.dispose()


def test_without_a_community_its_database_is_not_asked_for(told: dict[str, str]) -> None:
    prepare({**told, "ROMANHUB_COMMUNITY_DATABASE_URL": "postgresql+psycopg://127.0.0.1:1/down"})


def test_a_community_whose_database_nobody_named(with_community: dict[str, str]) -> None:
    del with_community["ROMANHUB_COMMUNITY_DATABASE_URL"]
    with pytest.raises(SetupError, match="romanhub-databases does not say where the community's database is"):
        prepare(with_community)


def test_two_databases_that_are_one(with_community: dict[str, str]) -> None:
    with_community["ROMANHUB_COMMUNITY_DATABASE_URL"] = with_community["HUBQUOTA_DATABASE_URL"]
    with pytest.raises(SetupError, match="The ledger's and the community's database .* are one, .* of its own"):
        prepare(with_community)


def test_a_database_that_is_down(told: dict[str, str]) -> None:
    down = "postgresql+psycopg://romanhub:a-password@127.0.0.1:1/ledger"
    with pytest.raises(SetupError) as failed:
        prepare({**told, "HUBQUOTA_DATABASE_URL": down})
    said = str(failed.value)
    assert said.startswith("The ledger's database at 127.0.0.1:1/ledger cannot be reached: ")
    assert "\n" not in said
    assert "a-password" not in said


def test_a_database_that_is_not_there(told: dict[str, str], postgres: Postgres) -> None:
    with pytest.raises(
        SetupError, match=r"^The hub's database at .*/nothing cannot be reached: .*does not exist\.$"
    ):
        prepare({**told, "ROMANHUB_HUB_DATABASE_URL": postgres.url("nothing")})


@pytest.mark.parametrize("url", ["", "db.example.org/ledger"])
def test_an_address_that_is_none(told: dict[str, str], url: str) -> None:
    with pytest.raises(SetupError, match="romanhub-databases"):
        prepare({**told, "HUBQUOTA_DATABASE_URL": url})


def test_a_tiers_file_with_a_mistake(told: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "tiers.yaml"
    wrong.write_text(TIERS.read_text().replace("default_size: small", "default_size: smal", 1))
    with pytest.raises(SetupError, match=r"tiers\.yaml:\d+: .*smal"):
        prepare({**told, "HUBQUOTA_TIERS": str(wrong)})


def test_settings_with_a_mistake(told: dict[str, str]) -> None:
    Path(told["ROMANHUB_SETTINGS"]).write_text("uri: https://hub.example.org\n")
    with pytest.raises(SetupError, match="uri"):
        prepare(told)


def test_a_database_of_a_newer_version_is_left_as_it_is(told: dict[str, str]) -> None:
    prepare(told)
    engine = make_engine(told["HUBQUOTA_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(SetupError, match="by a newer version of the platform"):
        prepare(told)
    with engine.connect() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999"
    engine.dispose()


def test_a_backup_is_restored_with_every_balance(told: dict[str, str], postgres: Postgres, tmp_path: Path) -> None:
    """The commands of the operators' page, with the real pg_dump and pg_restore."""
    dump, restore = _postgres_command("pg_dump"), _postgres_command("pg_restore")
    if dump is None or restore is None:
        pytest.skip("pg_dump and pg_restore are not installed")
    prepare(told)
    tiers = load_tiers(TIERS)
    before = Ledger(make_engine(told["HUBQUOTA_DATABASE_URL"]))
    before.open_account("ada", "researcher", tiers.tiers["researcher"].budget_units, actor="test")
    lease = before.admit(
        "ada", kind="server", key="server:ada/", label="Medium server", rate=tiers.sizes["medium"].rate
    )
    before.begin(lease.id)
    balance = before.balance("ada")

    kept = tmp_path / "ledger.dump"
    url = _plain(told["HUBQUOTA_DATABASE_URL"])
    subprocess.run([dump, "--format=custom", f"--file={kept}", f"--dbname={url}"], check=True)
    postgres.new_database("restored")
    again = postgres.url("restored")
    subprocess.run([restore, "--no-owner", "--exit-on-error", f"--dbname={_plain(again)}", str(kept)], check=True)

    after = Ledger(make_engine(again))
    assert after.verify() == []
    assert after.balance("ada").posted == balance.posted
    assert after.open_lease("server:ada/") is not None, "what ran is taken up again by the hub"
    # The next install finds it as it has to be.
    prepare({**told, "HUBQUOTA_DATABASE_URL": again})


def _plain(url: str) -> str:
    """A database's address as PostgreSQL's own programs read it."""
    return url.replace("postgresql+psycopg://", "postgresql://")
