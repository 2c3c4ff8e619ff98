"""`romanhub datasets`: looking at a file of data sets."""

from __future__ import annotations

import click

_path = click.argument("path", type=click.Path(dir_okay=False), envvar="ROMANHUB_DATASETS")


@click.group()
def datasets() -> None:
    """Look at a file of data sets."""


@datasets.command("check")
@_path
def check(path: str) -> None:
    """Say what is wrong with a file of data sets, and on which line."""
    from romanhub.services.datasetsfile import DatasetsFileError, load_datasets

    try:
        found = load_datasets(path)
    except DatasetsFileError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: {len(found.datasets)} data sets, without mistakes.")


@datasets.command("table")
@_path
def table(path: str) -> None:
    """Print the data sets as a Markdown table."""
    from romanhub.services.datasetsfile import DatasetsFileError, datasets_table, load_datasets

    try:
        click.echo(datasets_table(load_datasets(path)), nl=False)
    except DatasetsFileError as error:
        raise click.ClickException(str(error)) from None
