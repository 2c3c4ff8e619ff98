"""Commands for the ledger as a whole: setting it up, sweeping it, proving it, and its states."""

from __future__ import annotations

from dataclasses import asdict

import click

from hubquota.commands import options
from hubquota.commands.door import Failed
from hubquota.commands.options import LONG, engine_of
from hubquota.commands.output import answer, bar, listed
from hubquota.models.states import MEANING, MOVES, states_table
from hubquota.models.words import number_text
from hubquota.services.ledger import Ledger
from hubquota.services.terms import Terms
from hubquota.services.tiersfile import load_tiers
from hubquota.storage.migrate import migrate as migrate_database


@click.command()
@options.for_scripts
@options.database
def migrate(as_json: bool, database_url: str) -> None:
    """Create the ledger's tables, or bring them up to date."""
    migrate_database(engine_of(database_url))
    answer(as_json, {"up_to_date": True}, lambda: click.echo("The ledger's database is up to date."))


@click.command()
@options.for_scripts
@options.tiers_file
@options.database
def sweep(as_json: bool, tiers_path: str, database_url: str) -> None:
    """Write down what dates have decided: terms that are over or renew themselves, holds that nobody kept up."""
    engine, tiers = engine_of(database_url), load_tiers(tiers_path)
    ledger = Ledger(engine, tiers=lambda: tiers)
    with bar("Sweeping", ledger.due()) as done_more:
        done = ledger.sweep(done_more)
    ends = Terms(engine, lambda: tiers).sweep()
    renewed = done.renewed + ends.renewed

    def tell() -> None:
        click.echo(
            f"{number_text(done.lapsed, 'allocation')} lapsed, {number_text(done.abandoned, 'start')} "
            f"abandoned, {number_text(done.released, 'hold')} released."
        )
        click.echo(
            f"{number_text(renewed, 'allocation')} renewed, {ends.reminded} near the end, {ends.ended} past "
            f"it, {ends.over} past the grace."
        )

    answer(as_json, {**asdict(done), **asdict(ends), "renewed": renewed}, tell)


@click.command()
@options.for_scripts
@options.database
def verify(as_json: bool, database_url: str) -> None:
    """Recompute every balance, date, charge and hold from the journal; fail if one does not add up."""
    # One statement reads the whole journal, and that may take as long as it takes.
    ledger = Ledger(engine_of(database_url, timeout=LONG))
    with bar("Verifying", ledger.checks) as done_more:
        found = ledger.verify(done_more)

    def tell() -> None:
        for mismatch in found:
            click.echo(
                f"{mismatch.account}: {mismatch.what}: {mismatch.found} units, but {mismatch.expected} expected"
            )
        if not found:
            click.echo("Every balance and every charge adds up.")

    answer(as_json, listed(found), tell)
    if found:
        raise Failed(f"The ledger does not add up: {number_text(len(found), 'thing')}.", "mismatch")


@click.command()
@options.for_scripts
def states(as_json: bool) -> None:
    """Print the states of an allocation, and who may move it, as Markdown tables."""
    told = {"states": {state.value: text for state, text in MEANING.items()}, "moves": MOVES}
    answer(as_json, told, lambda: click.echo(states_table(), nl=False))
