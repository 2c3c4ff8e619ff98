"""What becomes of scratch: it is measured, and after its end kept for a while, moved aside and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hubquota.models.money import to_units
from hubquota.models.scratch import GIB, Scratch
from hubquota.services.scratch import ScratchSpaces
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.engine import make_engine
from romanhub.broker.keeper import Keeper
from romanhub.broker.minter import RoleMinter
from romanhub.broker.settings import BrokerSettings
from romanhub.local.settings import REGION, SCRATCH_BUCKET
from romanhub.services.scratchplaces import ScratchBucket

from tests.platform.broker.conftest import Storage
from tests.platform.portal.world import TIERS


class Kept:
    """A keeper, and the clock that it and the ledger go by."""

    def __init__(self, storage: Storage, settings: BrokerSettings, purge_file: Path | None) -> None:
        self.now = datetime.now(UTC)
        self.tiers = load_tiers(TIERS)
        self.engine = make_engine(settings.database_url.get_secret_value())
        self.spaces = ScratchSpaces(self.engine, lambda: self.now)
        self.client: Any = storage.client()
        self.bucket = ScratchBucket(SCRATCH_BUCKET, REGION)
        self.keeper = Keeper(
            self.spaces,
            self.bucket,
            RoleMinter(settings.storage),
            settings.storage,
            tiers=lambda: self.tiers,
            purge_file=None if purge_file is None else str(purge_file),
            clock=lambda: self.now,
        )

    def make(self, account: str) -> Scratch:
        """Make a scratch space of a day, with two objects in it."""
        self.spaces.open_account(account, "explorer", to_units(50), actor="test")
        one = self.spaces.make(self.tiers, account, person=account, name="work", gib=1, days=1)
        for name in ("a", "folder/b"):
            self.client.put_object(Bucket=SCRATCH_BUCKET, Key=self.bucket.prefix(one) + name, Body=b"x" * 10)
        return one

    def later(self, days: int) -> None:
        """Let days pass, and have the keeper look."""
        self.now += timedelta(days=days)
        self.spaces.keep(lambda _: 30)
        self.keeper.look()

    def there(self, prefix: str) -> list[str]:
        """The keys that begin so."""
        answer = self.client.list_objects_v2(Bucket=SCRATCH_BUCKET, Prefix=prefix)
        return [one["Key"].removeprefix(prefix) for one in answer.get("Contents", [])]


@pytest.fixture
def purge_file(tmp_path: Path) -> Path:
    """Settings of a purge whose quarantine is of 14 days."""
    path = tmp_path / "purge.yaml"
    given = {"archive": str(tmp_path), "quarantine_days": 14}
    adapters = {"home": {"type": "home-folder", "homes": str(tmp_path)}}
    path.write_text(yaml.safe_dump({**given, "adapters": adapters}))
    return path


@pytest.fixture
def kept(storage: Storage, broker_settings: BrokerSettings, purge_file: Path) -> Iterator[Kept]:
    found = Kept(storage, broker_settings, purge_file)
    yield found
    found.engine.dispose()


def test_it_is_measured(kept: Kept) -> None:
    one = kept.make("mona")
    kept.keeper.look()
    assert kept.spaces.scratch(one.id).used == 20 < GIB


def test_after_its_end_it_is_kept_then_moved_aside_then_deleted(kept: Kept) -> None:
    one, other = kept.make("nora"), kept.make("nora-too")
    prefix = kept.bucket.prefix(one)
    kept.spaces.prolong(kept.tiers, other.id, days=100, person="nora-too")
    kept.later(2)
    assert kept.spaces.scratch(one.id).state == "ended"
    kept.later(28)
    assert kept.there(prefix) == ["a", "folder/b"], "it is kept for thirty days"
    kept.later(2)
    assert kept.spaces.scratch(one.id).state == "aside"
    assert kept.there(prefix) == []
    aside = f".purge-quarantine/scratch-{one.id}/"
    assert kept.there(aside) == ["a", "folder/b"]
    kept.later(13)
    assert kept.there(aside) == ["a", "folder/b"], "the quarantine is of fourteen days"
    kept.later(1)
    assert kept.there(aside) == []
    assert kept.spaces.scratch(one.id).state == "cleared"
    assert kept.there(kept.bucket.prefix(other)) == ["a", "folder/b"], "nobody else's is touched"


def test_without_settings_of_a_purge_nothing_is_deleted(storage: Storage, broker_settings: BrokerSettings) -> None:
    kept = Kept(storage, broker_settings, None)
    one = kept.make("olive")
    kept.later(200)
    assert kept.there(kept.bucket.prefix(one)) == ["a", "folder/b"]
    kept.engine.dispose()
