"""A purge of an account, by hubquota's own plan and run: what is public stays, and what is not can come back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubquota.models.purge import Stage
from hubquota.purge.adapter import load_adapters
from hubquota.services.ledger import Ledger
from hubquota.services.purge import Purge
from hubquota.storage.engine import make_engine, reading
from hubquota.storage.migrate import migrate
from romanhub.community.errors import NoSuchEntryError
from romanhub.community.proof.queue import Queue
from romanhub.community.proof.settings import RunSettings
from romanhub.community.settings import CommunitySettings
from romanhub.community.storage import persons, repositories
from romanhub.community.storage.bucket import CommunityBucket
from romanhub.community.storage.tables import MIGRATIONS
from romanhub.local.settings import COMMUNITY_BUCKET
from romanhub.models.runs import Outcome

from tests.platform.broker.conftest import Storage, storage
from tests.platform.community.shelf import Shelf, file, sidecar
from tests.quota.conftest import sqlite_template
from tests.quota.purge_support import DAY, GRACES, ROOT, expire, make_settings, plan_and_approve
from tests.quota.support import Clock

__all__ = ["sqlite_template", "storage"]  # the fixtures


class World:
    """A catalogue with its bucket on a real S3 server, a ledger, and a purge that finds its adapter by name."""

    def __init__(self, folder: Path, ledger: Path, given: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        url = f"sqlite:///{folder / 'community.sqlite'}"
        for name, value in {
            "DATABASE_URL": url,
            "BUCKET": COMMUNITY_BUCKET,
            "ENDPOINT": given.settings.archive_endpoint,
            "ACCESS_KEY": "community",
            "SECRET_KEY": given.settings.secrets.archive_community,
        }.items():
            monkeypatch.setenv(f"ROMANHUB_COMMUNITY_{name}", value)
        engine = make_engine(url)
        migrate(engine, MIGRATIONS)
        settings = CommunitySettings(
            database_url=url,  # type: ignore[arg-type]
            endpoint=given.settings.archive_endpoint,
            access_key="community",  # type: ignore[arg-type]
            secret_key=given.settings.secrets.archive_community,  # type: ignore[arg-type]
        )
        self.shelf = Shelf(engine, bucket=CommunityBucket(settings))  # type: ignore[arg-type]
        self.queue = Queue(engine, RunSettings(), lambda: self.shelf.now)
        self.clock = Clock()
        ledger_engine = make_engine(f"sqlite:///{shutil.copy(ledger, folder / 'ledger.sqlite')}")
        expire(Ledger(ledger_engine, self.clock), self.clock, "ada", "bob")
        adapters = {"community": {"type": "romanhub.community.purging:make"}}
        purge = make_settings(folder, notice_days=[], quarantine_days=2, adapters=adapters)
        self.purge = Purge(ledger_engine, purge, load_adapters(purge), GRACES, self.clock)

    def draft(self, person: str, name: str, source: str) -> str:
        """Send a draft; return its digest."""
        return self.shelf.catalogue.draft(person, name, file(source), sidecar(title=name)).version.digest

    def advance(self) -> None:
        assert [step.failure for step in self.purge.advance(dry_run=False) if step.failure] == []
        self.clock.turn(2 * DAY)

    def has(self, person: str) -> list[str]:
        """The kinds of things that the catalogue has of somebody."""
        with reading(self.shelf.engine) as connection:
            return [name for name, rows in persons.rows_of(connection, person).items() if rows]


@pytest.fixture
def world(
    storage: Storage, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    world = World(tmp_path, sqlite_template, storage, monkeypatch)
    world.shelf.publish("ada", "depth", "print('public')", authors=[{"name": "Ada Lovelace"}])
    world.shelf.publish("bob", "width")
    for person in ("ada", "carl"):
        world.shelf.catalogue.star(person, "width")
        world.shelf.catalogue.opened(person, "width", 1)
    run = world.queue.later("ada", "tonight.ipynb", None, account=None, size=None)
    world.queue.ended(run.id, Outcome.REFUSED, "There is nothing left to pay with.")
    with world.shelf.catalogue.store.deciding() as connection:
        repositories.add(
            connection,
            url="https://git.example.org/a.git",
            branch="",
            folder="",
            owner="ada",
            prefix="",
            at_once=False,
        )
    yield world
    world.shelf.engine.dispose()


def test_a_purge_takes_what_is_not_public_and_leaves_the_rest(world: World) -> None:
    digest = world.draft("ada", "halo", "print('a draft')")
    world.draft("ada", "depth", "print('a second version')")
    everything = ["drafts", "stars", "opens", "repositories", "runs"]
    assert sorted(world.has("ada")) == sorted(everything)
    number = plan_and_approve(world.purge)
    assert [(item.account, item.name) for item in world.purge.read(number)[1]] == [("ada", "ada")]
    for _ in range(3):
        world.advance()
    assert {item.stage for item in world.purge.read(number)[1]} == {Stage.DELETED}

    assert world.has("ada") == []
    catalogue = world.shelf.catalogue
    with pytest.raises(NoSuchEntryError):
        catalogue.entry("halo", viewer="ada")
    assert not world.shelf.bucket.has(digest)
    depth = catalogue.entry("depth", viewer="ada")
    assert depth.newest is not None and depth.pending is None
    assert (depth.owner, depth.newest.about.authors[0].name) == ("ada", "Ada Lovelace")
    assert b"public" in catalogue.content(depth.newest)
    # Of the others' nothing is gone; how often it was opened stays, without who did.
    width = catalogue.entry("width")
    assert (width.stars, width.opens) == (1, 2)
    assert catalogue.has_star("carl", "width")

    # An administrator brings it back.
    world.purge.restore(world.purge.read(number)[1][0].id, by=ROOT)
    assert sorted(world.has("ada")) == sorted(everything)
    pending = catalogue.entry("halo", viewer="ada").pending
    assert pending is not None and pending.digest == digest
    assert b"a draft" in world.shelf.bucket.get(digest)
    assert catalogue.entry("width").stars == 2
    assert [one.notebook for one in world.queue.of_person("ada")] == ["tonight.ipynb"]


def test_what_changes_after_the_plan_is_left_alone(world: World) -> None:
    number = plan_and_approve(world.purge)
    world.draft("ada", "halo", "print('she is back')")
    for _ in range(3):
        world.advance()
    assert {item.stage for item in world.purge.read(number)[1]} == {Stage.LEFT_ALONE}
    assert world.shelf.catalogue.entry("halo", viewer="ada").pending is not None
