"""What the commands of `hubquota purge` have in common: their options, and how things are listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import click

from hubquota.commands.options import engine_of
from hubquota.commands.output import table
from hubquota.models.purge import Item
from hubquota.models.purge_settings import PurgeSettings
from hubquota.models.words import bytes_text
from hubquota.purge.adapter import load_adapters
from hubquota.services.purge import Purge, PurgeRegister
from hubquota.services.purge_base import nothing
from hubquota.services.settingsfile import load_settings
from hubquota.services.tiersfile import load_tiers

settings_file = click.option(
    "--settings",
    "settings_path",
    envvar="HUBQUOTA_PURGE",
    required=True,
    type=click.Path(dir_okay=False),
    help="The purge's settings file.",
)
really = click.option("--really", is_flag=True, help="Do it. Without this, it is only said what would be done.")


def register_of(database_url: str) -> PurgeRegister:
    """Return what is written down of purges in a ledger's database."""
    return PurgeRegister(engine_of(database_url))


def purge_of(
    database_url: str, tiers_path: str, settings_path: str, progress: Callable[[int], None] = nothing
) -> Purge:
    """Return the purge of a platform; `progress` is told of bytes that are dealt with."""
    settings = load_settings(settings_path, PurgeSettings)
    graces = {name: tier.grace_days for name, tier in load_tiers(tiers_path).tiers.items()}
    return Purge(engine_of(database_url), settings, load_adapters(settings), graces, progress=progress)


def item_table(items: Sequence[Item]) -> None:
    """Print things of plans."""
    table(
        ("thing", "account", "adapter", "name", "size", "files", "stage", "next", "where or why"),
        [
            (
                str(item.id),
                item.account,
                item.adapter,
                item.name,
                bytes_text(item.seen.bytes),
                str(item.seen.files),
                item.stage,
                day(item.due),
                item.place or item.reason or item.why,
            )
            for item in items
        ],
    )


def day(at: datetime | None) -> str:
    """Return a day as a table shows it."""
    return "-" if at is None else f"{at:%Y-%m-%d}"
