"""`hubquota metrics`: the ledger's numbers as Prometheus reads them."""

from __future__ import annotations

import click
from prometheus_client import CollectorRegistry, generate_latest

from hubquota.commands import options
from hubquota.commands.options import LONG, engine_of
from hubquota.services.metrics import LedgerCollector
from hubquota.services.tiersfile import TiersFile

per_account = click.option(
    "--per-account", is_flag=True, help="Also each account's credits: a time series for every account."
)


@click.command()
@per_account
@click.option(
    "--tiers",
    "tiers_path",
    envvar="HUBQUOTA_TIERS",
    type=click.Path(dir_okay=False),
    help="The tiers file, which says from when on an allocation is expiring.",
)
@options.database
def metrics(per_account: bool, tiers_path: str | None, database_url: str) -> None:
    """Print the ledger's numbers in the text format of Prometheus."""
    registry = CollectorRegistry()
    tiers = None if tiers_path is None else TiersFile(tiers_path)
    engine = engine_of(database_url, timeout=LONG)
    registry.register(LedgerCollector(engine, tiers, per_account=per_account, catch_up=LONG))
    click.echo(generate_latest(registry), nl=False)
