"""`hubquota tiers`: looking at a tiers file."""

from __future__ import annotations

import click

from hubquota.commands import options
from hubquota.commands.output import answer
from hubquota.services.describe import tier_table
from hubquota.services.tiersfile import load_tiers

_path = click.argument("path", type=click.Path(dir_okay=False), envvar="HUBQUOTA_TIERS")


@click.group()
def tiers() -> None:
    """Look at a tiers file."""


@tiers.command("check")
@_path
@options.for_scripts
def check(path: str, as_json: bool) -> None:
    """Say what is wrong with a tiers file, and on which line."""
    found = load_tiers(path)
    told = {"tiers": list(found.tiers), "sizes": list(found.sizes)}

    def tell() -> None:
        click.echo(f"{path}: {len(found.tiers)} tiers and {len(found.sizes)} sizes, without mistakes.")

    answer(as_json, told, tell)


@tiers.command("table")
@_path
@options.for_scripts
def show_table(path: str, as_json: bool) -> None:
    """Print the sizes and the tiers as Markdown tables."""
    found = load_tiers(path)
    answer(as_json, found.model_dump(), lambda: click.echo(tier_table(found), nl=False))
