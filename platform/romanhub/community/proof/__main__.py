"""Runs the runner: `python -m romanhub.community.proof`. A process of its own.

The portal's token at the hub reads who somebody is and nothing else, and there may be several portals; the
runner's starts and stops servers, and one runner is enough. What a run says at its end goes to the portal, so that
nothing is missed while the runner is restarted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import click
import httpx
from hubquota.services.ledger import Ledger
from hubquota.services.settingsfile import SettingsFileError
from hubquota.services.tiersfile import TiersFile, TiersFileError
from hubquota.storage.engine import make_engine
from prometheus_client import CollectorRegistry, start_http_server

from romanhub.community.proof.hub import HubServers
from romanhub.community.proof.metrics import MeasuredRunner, RunnerMetrics
from romanhub.community.proof.queue import Queue
from romanhub.community.proof.settings import load_run_settings

#: What the runner is told by its environment.
NEEDED = (
    "JUPYTERHUB_API_URL",
    "JUPYTERHUB_API_TOKEN",
    "HUBQUOTA_DATABASE_URL",
    "HUBQUOTA_TIERS",
    "ROMANHUB_COMMUNITY_DATABASE_URL",
)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


async def run(environ: Mapping[str, str], registry: CollectorRegistry | None = None) -> None:
    """Run until the process is told to end.

    Parameters
    ----------
    environ
        Names everything in `NEEDED`.
    registry
        Where the runner is measured.

    Raises
    ------
    SettingsFileError, TiersFileError
        A file has mistakes.
    """
    settings, tiers = load_run_settings(environ.get("ROMANHUB_RUNS")), TiersFile(environ["HUBQUOTA_TIERS"])
    catalogue = make_engine(environ["ROMANHUB_COMMUNITY_DATABASE_URL"])
    ledger = make_engine(environ["HUBQUOTA_DATABASE_URL"])
    # The hub is this platform's own: no proxy that the environment names for the outside is on the way.
    async with httpx.AsyncClient(trust_env=False) as http:
        runner = MeasuredRunner(
            RunnerMetrics(registry or CollectorRegistry()),
            Queue(catalogue, settings, now),
            HubServers(environ["JUPYTERHUB_API_URL"], environ["JUPYTERHUB_API_TOKEN"], http),
            Ledger(ledger, tiers=tiers.current),
            tiers,
            now,
            hub_name=environ.get("ROMANHUB_HUB_NAME", ""),
            image=environ.get("ROMANHUB_IMAGE", ""),
            images=tuple(filter(None, environ.get("ROMANHUB_IMAGES", "").split(","))),
        )
        running = asyncio.ensure_future(runner.forever())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        await asyncio.gather(running, return_exceptions=True)
        if not running.cancelled() and (error := running.exception()) is not None:
            raise error


@click.command()
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve numbers for Prometheus on this port; 0 for a free one.",
)
@click.option("--metrics-address", default="127.0.0.1", show_default=True, help="The address to serve them on.")
def main(metrics_port: int | None, metrics_address: str) -> None:
    """Run the runner of notebooks of a RomanHub platform.

    It reads its settings from the environment: the hub's API with a token of the runner's, the ledger's and the
    catalogue's database, HUBQUOTA_TIERS, and ROMANHUB_RUNS where runs have settings.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        sys.exit(f"The runner cannot start with this environment: {', '.join(missing)} is not set.")
    registry = CollectorRegistry()
    if metrics_port is not None:
        try:
            server, _ = start_http_server(metrics_port, metrics_address, registry)
        except OSError as error:
            sys.exit(f"Nothing can be served on {metrics_address}:{metrics_port}: {error.strerror or error}.")
        logging.info("Numbers for Prometheus are at http://%s:%d/metrics", metrics_address, server.server_port)
    try:
        asyncio.run(run(os.environ, registry))
    except (SettingsFileError, TiersFileError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
