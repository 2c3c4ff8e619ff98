"""`romanhub community`: what an operator does with what people share."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from romanhub.local.environments import SetupError

if TYPE_CHECKING:
    from romanhub.community.proof.rehearsal import Tried

#: How long to wait between two looks, in seconds.
LOOK = 1.0


@click.group()
def community() -> None:
    """Look after what people share."""


@community.command()
@click.option("--image", required=True, help="The environment to try: core or full.")
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON, for scripts.")
def rehearse(image: str, as_json: bool) -> None:
    """Run every shared notebook in another image before people have it, and say what would break.

    On one machine the images are the two environments of images/roman: `core`, and `full`, which `romanhub up
    --full` gives to everybody. The one that is named is installed first where it is not there, or is of an older
    lock. The platform has to run; its robot runs the notebooks and pays. Ends with 1 where a notebook that runs
    today would not. Ctrl-C takes back the runs that are left.
    """
    import httpx
    from hubquota.services.tiersfile import TiersFile
    from hubquota.storage.engine import make_engine
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from romanhub.community.proof.__main__ import now
    from romanhub.community.proof.needs import Offer
    from romanhub.community.proof.queue import Queue
    from romanhub.community.proof.rehearsal import Rehearsal
    from romanhub.community.proof.settings import load_run_settings
    from romanhub.local.analysis import ensure_roman, place
    from romanhub.local.screen import Screen
    from romanhub.local.settings import Settings

    try:
        settings = Settings.load()
    except FileNotFoundError:
        raise SetupError("The platform has never been started here: romanhub up") from None
    if image not in settings.images:
        raise SetupError(f"There is no image {image} on this machine; there are: {', '.join(settings.images)}.")
    try:
        httpx.get(f"{settings.hub_api}/", timeout=10, trust_env=False)
    except httpx.HTTPError:
        raise SetupError("The platform does not run: romanhub up. Its robot runs the notebooks.") from None
    # As every start of the platform does: where nothing differs, nothing is written.
    place(ensure_roman(settings.state, full=image == "full", screen=Screen()))
    engine = make_engine(settings.community_url)
    runs = load_run_settings(None if settings.runs_file is None else str(settings.runs_file))
    queue, offer = Queue(engine, runs, now), Offer(TiersFile(str(settings.tiers_file)).current(), runs)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, disable=as_json) as bar:
        task = bar.add_task(f"Shared notebooks in {image}", total=None)
        try:
            tried = Rehearsal(queue, offer, lambda: time.sleep(LOOK)).run(
                image, progress=lambda done, of: bar.update(task, completed=done, total=of)
            )
        except KeyboardInterrupt:
            raise SetupError("The rehearsal was given up; what had not run is not going to.") from None
    engine.dispose()
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") | {"breaks": one.breaks} for one in tried], indent=2))
    else:
        _show(image, tried)
    raise SystemExit(1 if any(one.breaks for one in tried) else 0)


def _show(image: str, tried: list[Tried]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("Notebook", "Today", f"In {image}", "How", box=None)
    for one in tried:
        cell = f"Code cell {one.failed_cell}: " if one.failed_cell else ""
        table.add_row(f"{one.entry} {one.version}", one.today, one.outcome, f"{cell}{one.error or ''}")
    if tried:
        Console().print(table)
    broken, untold = sum(one.breaks for one in tried), sum(one.untold for one in tried)
    click.echo(
        f"Of {len(tried)} shared notebooks, {broken} that run today would not run in {image}"
        f"{f'; of {untold} it is not known' if untold else ''}."
    )
