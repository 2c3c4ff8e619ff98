"""`hubquota audit`: what was decided, by whom and why."""

from __future__ import annotations

from typing import Any

import click

from hubquota.commands import options
from hubquota.commands.options import engine_of
from hubquota.commands.output import answer, listed, table, when
from hubquota.models.ledger import Entry
from hubquota.models.money import format_credits
from hubquota.models.reading import AuditQuery, Deed, Place, act_text
from hubquota.services.history import Histories


@click.command()
@options.audited
@options.limit
@click.option("--after", help="Go on after this place: what the page before says.")
@options.for_scripts
@options.database
def audit(limit: int, after: str | None, as_json: bool, database_url: str, **asked: Any) -> None:
    """Print what was decided on all accounts, newest first: the journal's acts, limits, holds, purges, members.

    `hubquota export audit` writes all of it.
    """
    try:
        place = None if after is None else Place.of(after)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--after") from None
    found = Histories(engine_of(database_url)).audit(AuditQuery(**asked), limit=limit, before=place)
    following = None if found.next_before is None else found.next_before.text

    def tell() -> None:
        table(("when (UTC)", "account", "what", "by", "credits", "reason"), [_row(line) for line in found.lines])
        if following is not None:
            click.echo(f"There are more: add `--after {following}`.")

    answer(as_json, listed(found.lines, following), tell)


def _row(line: Entry | Deed) -> tuple[str, ...]:
    reason = " ".join(line.reason.split()) or "-"
    if isinstance(line, Deed):
        return when(line.at), line.account or "-", line.text, line.actor or "-", "-", reason
    return when(line.at), line.account, act_text(line), line.actor, format_credits(line.amount), reason
