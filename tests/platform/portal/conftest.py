"""A portal on a real ledger, with time that a test moves on, and a hub that a test answers for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import PortalSettings

from tests.platform.portal.world import SERVICE_TOKEN, TIERS, Clock, HubStandIn


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The address of a ledger's database that has been set up."""
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    engine = make_engine(url)
    migrate(engine)
    engine.dispose()
    return url


@pytest.fixture
def ledger(database: str, clock: Clock) -> Iterator[Ledger]:
    engine = make_engine(database)
    yield Ledger(engine, clock)
    engine.dispose()


@pytest.fixture
def tiers() -> Tiers:
    return TiersFile(TIERS).current()


@pytest.fixture
def hub() -> HubStandIn:
    return HubStandIn()


@pytest.fixture
def settings(database: str) -> PortalSettings:
    return PortalSettings.from_environment(
        {
            "JUPYTERHUB_API_TOKEN": SERVICE_TOKEN,
            "HUBQUOTA_DATABASE_URL": database,
            "HUBQUOTA_TIERS": str(TIERS),
        }
    )


@pytest.fixture
async def app(settings: PortalSettings, ledger: Ledger, hub: HubStandIn, clock: Clock) -> AsyncIterator[FastAPI]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(hub.answer)) as http:
        yield create_app(
            settings,
            ledger=ledger,
            tiers=TiersFile(settings.tiers_file),
            hub=HubClient(settings.hub, http, monotonic=lambda: clock.now.timestamp()),
            clock=clock,
        )


@pytest.fixture
async def web(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the portal that follows no redirects and keeps cookies, like a browser watched closely."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://romanhub.test") as client:
        yield client
