"""Runs the broker: `python -m romanhub.broker --port 10102`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime, timedelta

import click
import httpx
import uvicorn
from hubquota.services.ledger import Ledger
from hubquota.services.scratch import ScratchSpaces
from hubquota.services.tiersfile import TiersFile, TiersFileError
from hubquota.storage.engine import make_engine

from romanhub.broker.app import create_app
from romanhub.broker.desk import Desk
from romanhub.broker.issue import Issuer
from romanhub.broker.keeper import Keeper
from romanhub.broker.minter import RoleMinter
from romanhub.broker.products import Products
from romanhub.broker.settings import BrokerSettings
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import SettingsError
from romanhub.services.datasetsfile import DatasetsFile, DatasetsFileError
from romanhub.services.scratchplaces import ScratchBucket

log = logging.getLogger(__name__)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="The port to listen on.")
def main(host: str, port: int) -> None:
    """Run the credential broker of a RomanHub platform, a service behind its hub.

    It reads its settings from the environment: the hub's usual variables for a service, HUBQUOTA_DATABASE_URL,
    HUBQUOTA_TIERS, ROMANHUB_DATASETS, ROMANHUB_BROKER_ROLE, ROMANHUB_SCRATCH_BUCKET, and where the storage is not
    Amazon's, ROMANHUB_STORAGE_ENDPOINT, ROMANHUB_BROKER_ACCESS_KEY and ROMANHUB_BROKER_SECRET_KEY. With
    ROMANHUB_COMMUNITY_DATABASE_URL, its keys open the community's data products, too.
    """
    try:
        settings = BrokerSettings.from_environment(os.environ)
        tiers, datasets = TiersFile(settings.tiers_file), DatasetsFile(settings.datasets_file)
    except (SettingsError, TiersFileError, DatasetsFileError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    asyncio.run(_serve(settings, tiers, datasets, host, port))


async def _serve(settings: BrokerSettings, tiers: TiersFile, datasets: DatasetsFile, host: str, port: int) -> None:
    def clock() -> datetime:
        return datetime.now(UTC)

    engine = make_engine(settings.database_url.get_secret_value())
    # The hub is this platform's own: no proxy that the environment names for the outside is on the way.
    async with httpx.AsyncClient(trust_env=False) as http:
        ledger, minter = Ledger(engine, tiers=tiers.current), RoleMinter(settings.storage)
        bucket = ScratchBucket(settings.storage.scratch_bucket, settings.storage.region)
        desk = Desk(
            settings.hub,
            HubClient(settings.hub, http),
            ledger=ledger,
            tiers=tiers,
            datasets=datasets,
            scratch=bucket,
            deadline=settings.ledger_deadline_seconds,
            products=_products(settings),
        )
        issuer = Issuer(
            minter,
            clock=clock,
            life=timedelta(seconds=settings.storage.seconds),
            mints_a_minute=settings.mints_a_minute,
            deadline=settings.storage_deadline_seconds,
        )
        app = create_app(settings, desk=desk, issuer=issuer, clock=clock)
        server = uvicorn.Server(
            uvicorn.Config(app, host=host, port=port, server_header=False, timeout_graceful_shutdown=5)
        )
        keeper = Keeper(
            ScratchSpaces.sharing(ledger),
            bucket,
            minter,
            settings.storage,
            tiers=tiers.current,
            purge_file=settings.purge_file,
            clock=clock,
        )
        keeping = asyncio.create_task(_keep(keeper, settings.keeper_seconds))
        try:
            await server.serve()
        finally:
            keeping.cancel()
            engine.dispose()


def _products(settings: BrokerSettings) -> Products | None:
    """Return the community's data products; None on a platform without a catalogue."""
    place = settings.community
    if place is None:
        return None
    return Products(make_engine(place.database_url.get_secret_value()), bucket=place.bucket, region=place.region)


async def _keep(keeper: Keeper, interval: float) -> None:
    """Have scratch looked at, again and again; whatever goes wrong, the broker goes on."""
    while True:
        try:
            await asyncio.to_thread(keeper.look)
        except Exception:
            log.exception("Scratch could not be looked at.")
        await asyncio.sleep(interval)


if __name__ == "__main__":
    main()
