"""`hubquota cluster`: Dask clusters, what they run and cost, and what administrators say of them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hubquota.commands import options
from hubquota.commands.options import engine_of, ledger_of, operator
from hubquota.commands.output import answer, listed, table, when
from hubquota.models.clusters import ClusterUse, Instruction
from hubquota.models.money import format_credits, format_price, price_of
from hubquota.services.pastclusters import PastCluster, PastClusters


@click.group()
def cluster() -> None:
    """Dask clusters: what they run and have cost, and limits on them."""


@cluster.command("list")
@click.option("--account", help="Only those that this account pays for.")
@click.option("--person", help="Only this person's.")
@options.for_scripts
@options.database
def list_clusters(account: str | None, person: str | None, as_json: bool, database_url: str) -> None:
    """List the clusters that run now."""
    found = ledger_of(database_url).clusters(account, person=person)
    answer(as_json, listed(found), lambda: _table(found))


@cluster.command("show")
@click.argument("name")
@options.for_scripts
@options.database
def show_cluster(name: str, as_json: bool, database_url: str) -> None:
    """Print one cluster that runs."""
    found = ledger_of(database_url).cluster(name)
    answer(as_json, found, lambda: _table([found]))


@cluster.command("past")
@click.argument("person")
@click.option("--before", type=int, help="Only those whose lease has a lower number: the last of the page before.")
@options.limit
@options.for_scripts
@options.database
def past_clusters(person: str, before: int | None, limit: int, as_json: bool, database_url: str) -> None:
    """List a person's clusters that have ended, with what each cost and why it ended."""
    found = PastClusters(engine_of(database_url)).page(person, limit=limit, before=before)
    following = found[-1].lease.id if len(found) == limit else None

    def tell() -> None:
        _past_table(found)
        if following is not None:
            click.echo(f"There may be more: add `--before {following}`.")

    answer(as_json, listed(found, following), tell)


@cluster.command("limit")
@click.argument("name")
@click.argument("workers", type=click.IntRange(0))
@options.why
@options.for_scripts
@options.database
def limit_cluster(name: str, workers: int, reason: str, as_json: bool, database_url: str) -> None:
    """Have a cluster keep to a number of workers. Those beyond it end, and its owner is told."""
    said = ledger_of(database_url).limit_cluster(name, workers, actor=operator(), reason=reason)
    _tell(said, as_json)


@cluster.command("stop")
@click.argument("name")
@options.why
@options.for_scripts
@options.database
def stop_cluster(name: str, reason: str, as_json: bool, database_url: str) -> None:
    """Have a cluster stop. Whoever runs it does so within a few seconds, and its owner is told."""
    said = ledger_of(database_url).stop_cluster(name, actor=operator(), reason=reason)
    _tell(said, as_json)


def _tell(said: Instruction, as_json: bool) -> None:
    answer(as_json, said, lambda: click.echo(said.text))


def _table(found: Sequence[ClusterUse]) -> None:
    table(
        ("cluster", "account", "by", "since", "workers", "starting", "credits an hour", "so far", "said of it"),
        [
            (
                one.name,
                one.lease.account,
                one.lease.person,
                when(one.lease.started_at or one.lease.admitted_at),
                str(one.workers),
                str(one.starting),
                format_price(price_of(one.rate)),
                format_credits(one.cost, rounding="up"),
                "" if one.instruction is None else one.instruction.text,
            )
            for one in found
        ],
    )


def _past_table(found: Sequence[PastCluster]) -> None:
    table(
        ("lease", "cluster", "account", "since", "ended", "cost", "reason"),
        [
            (
                str(one.lease.id),
                one.name,
                one.lease.account,
                when(one.lease.started_at or one.lease.admitted_at),
                when(one.lease.ended_at),
                format_credits(one.cost, rounding="up"),
                one.lease.reason or "",
            )
            for one in found
        ],
    )
