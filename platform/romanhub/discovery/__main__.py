"""Runs the search service: `python -m romanhub.discovery --port 10102`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime

import click
import httpx
import uvicorn

from romanhub.discovery.app import create_app
from romanhub.discovery.settings import DiscoverySettings
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import SettingsError
from romanhub.services.datasetsfile import DatasetsFile, DatasetsFileError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="The port to listen on.")
def main(host: str, port: int) -> None:
    """Run the search service of a RomanHub platform, a service behind its hub.

    It reads its settings from the environment: the hub's usual variables for a service, ROMANHUB_DATASETS,
    ROMANHUB_SEARCH_URL, ROMANHUB_SEARCH_FOLDER and ROMANHUB_SEARCH_JOBS.
    """
    try:
        settings = DiscoverySettings.from_environment(os.environ)
        datasets = DatasetsFile(settings.datasets_file)
    except (SettingsError, DatasetsFileError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    asyncio.run(_serve(settings, datasets, host, port))


def _without_queries(record: logging.LogRecord) -> bool:
    """Keep what follows a `?` out of the log of requests: what somebody looks for is theirs."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            part.partition("?")[0] if isinstance(part, str) and part.startswith("/") else part
            for part in record.args
        )
    return True


async def _serve(settings: DiscoverySettings, datasets: DatasetsFile, host: str, port: int) -> None:
    logging.getLogger("uvicorn.access").addFilter(_without_queries)
    # The hub is this platform's own: no proxy that the environment names for the outside is on the way.
    async with httpx.AsyncClient(trust_env=False) as http:
        app = create_app(
            settings, hub=HubClient(settings.hub, http), datasets=datasets, clock=lambda: datetime.now(UTC)
        )
        config = uvicorn.Config(app, host=host, port=port, server_header=False, timeout_graceful_shutdown=5)
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    main()
