"""Runs the portal: `python -m romanhub.portal --port 10101`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime

import click
import httpx
import uvicorn
from hubquota.models.purge_settings import PurgeSettings
from hubquota.services.ledger import Ledger
from hubquota.services.settingsfile import SettingsFileError, load_settings
from hubquota.services.tiersfile import TiersFile, TiersFileError
from hubquota.storage.engine import make_engine

from romanhub.community.proof.settings import load_run_settings
from romanhub.portal.app import create_app
from romanhub.portal.archivedoors import archive_doors
from romanhub.portal.cataloguing import open_catalogue
from romanhub.portal.hub import HubClient
from romanhub.portal.running import open_running
from romanhub.portal.settings import PortalSettings, SettingsError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="The port to listen on.")
def main(host: str, port: int) -> None:
    """Run the portal of a RomanHub platform, a service behind its hub.

    It reads its settings from the environment: the hub's usual variables for a service, HUBQUOTA_DATABASE_URL,
    HUBQUOTA_TIERS, and where something is purged HUBQUOTA_PURGE.
    """
    try:
        settings = PortalSettings.from_environment(os.environ)
        tiers = TiersFile(settings.tiers_file)
        if settings.purge_file is not None:
            load_settings(settings.purge_file, PurgeSettings)
        load_run_settings(settings.runs_file)
    except (SettingsError, TiersFileError, SettingsFileError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    asyncio.run(_serve(settings, tiers, host, port))


def _without_queries(record: logging.LogRecord) -> bool:
    """Keep what follows a `?` out of the log of requests: the hub's sign-in codes are among it."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            part.partition("?")[0] if isinstance(part, str) and part.startswith("/") else part
            for part in record.args
        )
    return True


async def _serve(settings: PortalSettings, tiers: TiersFile, host: str, port: int) -> None:
    logging.getLogger("uvicorn.access").addFilter(_without_queries)
    engine = make_engine(settings.database_url.get_secret_value())
    # The hub is this platform's own: no proxy that the environment names for the outside is on the way.
    async with httpx.AsyncClient(trust_env=False) as http:
        app = create_app(
            settings,
            ledger=Ledger(engine, tiers=tiers.current),
            tiers=tiers,
            hub=HubClient(settings.hub, http),
            clock=lambda: datetime.now(UTC),
            archive=archive_doors(settings, http),
            running=open_running(settings.community, settings.runs_file, clock=lambda: datetime.now(UTC)),
            catalogue=open_catalogue(settings.community, clock=lambda: datetime.now(UTC)),
        )
        server = uvicorn.Server(
            uvicorn.Config(app, host=host, port=port, server_header=False, timeout_graceful_shutdown=5)
        )
        rounds = asyncio.create_task(app.state.registering.keep_reading())
        try:
            await server.serve()
        finally:
            rounds.cancel()
            engine.dispose()


if __name__ == "__main__":
    main()
