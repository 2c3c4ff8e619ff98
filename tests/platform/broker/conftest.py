"""The real S3 server as the platform starts it, a broker on a real ledger, and a hub that a test answers for."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from pydantic import SecretStr
from romanhub.broker.app import create_app
from romanhub.broker.desk import Desk
from romanhub.broker.issue import Issuer
from romanhub.broker.minter import Keys, RoleMinter
from romanhub.broker.products import Products
from romanhub.broker.settings import BrokerSettings
from romanhub.community.services.catalogue import Catalogue
from romanhub.community.settings import CommunitySettings
from romanhub.community.storage.bucket import CommunityBucket
from romanhub.community.storage.tables import MIGRATIONS
from romanhub.local import parts, secrets
from romanhub.local.layout import State
from romanhub.local.ports import Ports
from romanhub.local.settings import BUCKET, COMMUNITY_BUCKET, REGION, SCRATCH_BUCKET, Settings
from romanhub.portal.hub import HubClient
from romanhub.services.datasetsfile import DatasetsFile
from romanhub.services.scratchplaces import ScratchBucket

from tests.platform.broker.access_log import AccessLog
from tests.platform.community.shelf import QuickInspector
from tests.platform.portal.world import TIERS, HubStandIn
from tests.support.ports import free_port

API = "/services/broker/api/"
SCOPE = "access:services!service=broker"

DATASETS = f"""
datasets:
  roman-l2: &one
    title: Level 2
    description: Exposures.
    mission: Roman
    format: asdf
    level: 2
    bucket: {BUCKET}
    prefix: level2/
    region: us-east-1
    index: index.json
    citation: {{text: Nobody 2026}}
  early:
    <<: *one
    prefix: early/
    index: null
    access: {{kind: embargo, until: 2027-10-01T00:00:00Z, groups: [early-birds]}}
  team:
    <<: *one
    prefix: team/
    index: null
    access: {{kind: groups, groups: [survey-team]}}
"""

#: What is in the bucket.
KEYS = ("index.json", "level2/a.asdf", "early/a.asdf", "team/a.asdf", "elsewhere/a.asdf")


@dataclass
class Storage:
    """The running S3 server."""

    settings: Settings
    log: AccessLog

    def client(self, keys: dict[str, str] | Keys | None = None) -> Any:
        """A client with some keys; the operator's if none are given."""
        if keys is None:
            given = ("operator", self.settings.secrets.archive_operator, None)
        elif isinstance(keys, Keys):
            three = (keys.access_key, keys.secret_key, keys.session_token)
            given = tuple(one.get_secret_value() for one in three)  # type: ignore[assignment]
        else:
            given = (keys["access_key"], keys["secret_key"], keys["session_token"])  # type: ignore[assignment]
        return boto3.client(
            "s3",
            endpoint_url=self.settings.archive_endpoint,
            region_name=REGION,
            aws_access_key_id=given[0],
            aws_secret_access_key=given[1],
            aws_session_token=given[2],
            config=Config(retries={"mode": "standard", "total_max_attempts": 2}, s3={"addressing_style": "path"}),
        )


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """SeaweedFS with the command, the identities and the role with which the platform starts it."""
    state = State(tmp_path_factory.mktemp("storage") / "state")
    state.make()
    ports = Ports(**{name: free_port() for name in Ports.model_fields})
    settings = Settings(state, ports, secrets.make(state.private / "secrets.json"))
    part, access_log = parts.archive(settings), AccessLog()
    command = [*part.command, f"-s3.auditLogConfig={access_log.configure(state.private / 'access-log.json')}"]
    path = state.logs / "archive.log"
    log = path.open("wb")
    process = subprocess.Popen(
        command, env={**os.environ, **part.environment}, stdout=log, stderr=subprocess.STDOUT
    )
    found = Storage(settings, access_log)
    try:
        operator = found.client()
        for bucket in (BUCKET, SCRATCH_BUCKET, COMMUNITY_BUCKET):
            _until(partial(operator.create_bucket, Bucket=bucket), process, path)
        for key in KEYS:
            put = partial(operator.put_object, Bucket=BUCKET, Key=key, Body=key.encode())
            _until(put, process, path)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        access_log.close()


def _until(attempt: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Try again and again until it works; a server that starts gives no other sign."""
    deadline = time.monotonic() + 180
    while True:
        try:
            attempt()
            return
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                ended = f"ended by itself ({process.returncode})" if process.returncode is not None else "runs"
                pytest.fail(f"The S3 server {ended}, and said: {error}. Its log:\n{log.read_text()[-5000:]}")
            time.sleep(0.2)


@dataclass
class CountingMinter:
    """Makes real keys, and counts how often it was asked."""

    minter: RoleMinter
    policies: list[str] = field(default_factory=list)

    def mint(self, person: str, policy: str) -> Keys:
        """Make keys as the real one does."""
        self.policies.append(policy)
        return self.minter.mint(person, policy)


@dataclass
class World:
    """A broker, and what a test turns in its surroundings."""

    web: httpx.AsyncClient
    hub: HubStandIn
    ledger: Ledger
    tiers: TiersFile
    minter: CountingMinter
    catalogue: Catalogue
    #: How far the broker's clock is ahead of the real one, which the S3 server goes by.
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The time that the broker goes by."""
        return datetime.now(UTC) + self.ahead

    def add(self, name: str, *groups: str) -> dict[str, str]:
        """Add a person with an account; return the headers of their requests."""
        self.ledger.open_account(name, "explorer", to_units(50), actor="test", term_days=90)
        return {"Authorization": f"Bearer {self.hub.add(name, scopes=(SCOPE,), groups=list(groups))}"}

    async def keys(self, headers: dict[str, str], **query: Any) -> dict[str, Any]:
        """What the broker gives."""
        answer = await self.web.get(f"{API}credentials", headers=headers, params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def broker_settings(storage: Storage, tmp_path: Path) -> BrokerSettings:
    (tmp_path / "datasets.yaml").write_text(DATASETS)
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    engine = make_engine(url)
    migrate(engine)
    engine.dispose()
    part = parts.broker(storage.settings)
    return BrokerSettings.from_environment(
        {
            **part.environment,
            "HUBQUOTA_DATABASE_URL": url,
            "HUBQUOTA_TIERS": str(TIERS),
            "ROMANHUB_DATASETS": str(tmp_path / "datasets.yaml"),
            "ROMANHUB_COMMUNITY_DATABASE_URL": f"sqlite:///{tmp_path}/community.sqlite",
        }
    )


def catalogue_of(settings: BrokerSettings, storage: Storage) -> Catalogue:
    """The community's catalogue, whose files are in the S3 server under the portal's own key."""
    assert settings.community is not None
    url = settings.community.database_url
    engine = make_engine(url.get_secret_value())
    migrate(engine, MIGRATIONS)
    bucket = CommunityBucket(
        CommunitySettings(
            database_url=url,
            endpoint=storage.settings.archive_endpoint,
            access_key=SecretStr("community"),
            secret_key=SecretStr(storage.settings.secrets.archive_community),
        )
    )
    return Catalogue(engine, bucket, QuickInspector(), lambda: datetime.now(UTC))


@pytest.fixture
async def world(broker_settings: BrokerSettings, storage: Storage) -> AsyncIterator[World]:
    settings, hub = broker_settings, HubStandIn()
    catalogue = catalogue_of(settings, storage)
    engine = make_engine(settings.database_url.get_secret_value())
    tiers = TiersFile(settings.tiers_file)
    minter = CountingMinter(RoleMinter(settings.storage))
    found: World

    def now() -> datetime:
        return found.now()

    ledger = Ledger(engine, now)
    async with httpx.AsyncClient(transport=httpx.MockTransport(hub.answer)) as http:
        desk = Desk(
            settings.hub,
            HubClient(settings.hub, http, monotonic=lambda: now().timestamp()),
            ledger=ledger,
            tiers=tiers,
            datasets=DatasetsFile(settings.datasets_file),
            scratch=ScratchBucket(settings.storage.scratch_bucket, settings.storage.region),
            deadline=10,
            products=Products(catalogue.store.engine, bucket=COMMUNITY_BUCKET, region=REGION),
        )
        issuer = Issuer(minter, clock=now, life=timedelta(hours=1), mints_a_minute=5, deadline=20)
        app = create_app(settings, desk=desk, issuer=issuer, clock=now)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://romanhub.test") as web:
            found = World(web, hub, ledger, tiers, minter, catalogue)
            yield found
    engine.dispose()
    catalogue.store.engine.dispose()
