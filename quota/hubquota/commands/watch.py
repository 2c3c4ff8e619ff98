"""`hubquota watch`: the service that keeps the ledger in step with a hub."""

from __future__ import annotations

import logging
import signal
from contextlib import ExitStack
from threading import Event

import click
import httpx
from prometheus_client import CollectorRegistry, start_http_server
from sqlalchemy import Engine

from hubquota.commands import options
from hubquota.commands.door import Failed
from hubquota.commands.metrics import per_account
from hubquota.commands.options import engine_of
from hubquota.commands.purge_parts import purge_of
from hubquota.hub.addresses import ClaimedAddresses
from hubquota.hub.api import HubApi
from hubquota.hub.upkeep import PurgeRounds, Upkeep
from hubquota.hub.watch_metrics import MeasuredWatch, WatchMetrics
from hubquota.models.delivery import DeliverySettings
from hubquota.models.purge_settings import PurgeSettings
from hubquota.services.delivery import Delivering
from hubquota.services.leases import EXTEND_WITHIN
from hubquota.services.ledger import Ledger
from hubquota.services.metrics import LedgerCollector
from hubquota.services.purge_schedule import ScheduledPurge
from hubquota.services.settingsfile import load_settings
from hubquota.services.terms import Terms
from hubquota.services.tiersfile import TiersFile

log = logging.getLogger(__name__)


@click.command()
@click.option("--interval", default=60.0, show_default=True, help="Seconds between two passes.")
@click.option("--hub-url", envvar="JUPYTERHUB_API_URL", required=True, help="The hub's REST API.")
@click.option("--hub-token", envvar="JUPYTERHUB_API_TOKEN", required=True, help="A token for it.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve numbers for Prometheus on this port; 0 for a free one.",
)
@click.option("--metrics-address", default="127.0.0.1", show_default=True, help="The address to serve them on.")
@per_account
@click.option(
    "--notices",
    "notices_path",
    envvar="HUBQUOTA_NOTICES",
    type=click.Path(dir_okay=False),
    help="The file of settings for notices; without it, they are shown in the hub only.",
)
@click.option(
    "--purge",
    "purge_path",
    envvar="HUBQUOTA_PURGE",
    type=click.Path(dir_okay=False),
    help="The purge's settings file. Where it has a `schedule`, the purge runs by itself.",
)
@click.option(
    "--hub-name",
    envvar="HUBQUOTA_HUB",
    default="",
    help="The hub's name, where several hubs share the ledger: its spawners' `quota_hub`.",
)
@options.database
@options.tiers_file
def watch(
    interval: float,
    hub_url: str,
    hub_token: str,
    metrics_port: int | None,
    metrics_address: str,
    per_account: bool,
    notices_path: str | None,
    purge_path: str | None,
    hub_name: str,
    database_url: str,
    tiers_path: str,
) -> None:
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
        engine, tiers_file = engine_of(database_url), TiersFile(tiers_path)
        registry = CollectorRegistry()
        registry.register(LedgerCollector(engine, tiers_file, per_account=per_account))
        measured = WatchMetrics(registry)
        if metrics_port is not None:
            _serve(registry, metrics_port, metrics_address)
        upkeep = Upkeep(Terms(engine, tiers_file.current), _delivering(engine, notices_path, client))
        watched = MeasuredWatch(
            measured,
            Ledger(engine, tiers=tiers_file.current),
            tiers_file,
            HubApi(client),
            extend_within=within,
            name=hub_name,
        )
        with ExitStack() as running:
            running.enter_context(upkeep.running(stop, interval))
            if purge_path is not None:
                rounds = PurgeRounds(_purging(engine, purge_path, database_url, tiers_path))
                running.enter_context(rounds.running(stop, interval))
            watched.run(stop, interval)


def _delivering(engine: Engine, notices_path: str | None, client: httpx.Client) -> Delivering | None:
    if notices_path is None:
        return None
    settings = load_settings(notices_path, DeliverySettings)
    claim = settings.mail.address_claim if settings.mail is not None else None
    address_of = None if claim is None else ClaimedAddresses(client, claim)
    return Delivering(engine, settings, address_of=address_of)


def _purging(engine: Engine, path: str, database_url: str, tiers_path: str) -> ScheduledPurge:
    def settings() -> PurgeSettings:
        return load_settings(path, PurgeSettings)

    settings()  # A file with mistakes is said at the start.
    return ScheduledPurge(engine, settings, lambda _settings: purge_of(database_url, tiers_path, path))


def _serve(registry: CollectorRegistry, port: int, address: str) -> None:
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as error:
        raise Failed(f"Nothing can be served on {address}:{port}: {error.strerror or error}.") from error
    log.info("Numbers for Prometheus are at http://%s:%d/metrics", address, server.server_port)
