"""`hubquota watch`: the service that keeps the ledger in step with a hub."""

from __future__ import annotations

import logging
import signal
from threading import Event

import click
import httpx

from hubquota.commands import options
from hubquota.commands.options import ledger_of
from hubquota.hub.api import HubApi
from hubquota.hub.watch import Watch
from hubquota.services.leases import EXTEND_WITHIN
from hubquota.services.tiersfile import TiersFile


@click.command()
@click.option("--interval", default=60.0, show_default=True, help="Seconds between two passes.")
@click.option("--hub-url", envvar="JUPYTERHUB_API_URL", required=True, help="The hub's REST API.")
@click.option("--hub-token", envvar="JUPYTERHUB_API_TOKEN", required=True, help="A token for it.")
@options.database
@options.tiers_file
def watch(interval: float, hub_url: str, hub_token: str, database_url: str, tiers_path: str) -> None:
    """Keep the ledger in step with a hub, and stop servers that ran too long. Runs until it is ended."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname)1.1s %(asctime)s %(name)s] %(message)s")
    # One line a request would bury what the watch itself has to say.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    headers = {"Authorization": f"token {hub_token}"}
    with httpx.Client(base_url=f"{hub_url.rstrip('/')}/", headers=headers, timeout=30) as client:
        within = max(EXTEND_WITHIN, int(3 * interval))
        ledger, tiers_file = ledger_of(database_url), TiersFile(tiers_path)
        Watch(ledger, tiers_file, HubApi(client), extend_within=within).run(stop, interval)
