"""The command `romanhub` in a user's server: sharing a notebook, and finding what others share.

It has no more than a person needs at a terminal there. The platform's own command of the same name is in the hub's
environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from romanhub.client.errors import RomanHubError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def romanhub() -> None:
    """Share notebooks with the community, and find what others share."""


@romanhub.command()
@click.argument("what", required=False)
@click.option("--name", help="What the entry is called in addresses; from the file's name by default.")
@click.option("--title", help="The title.")
@click.option("--abstract", help="What it does and for whom, in a few sentences.")
@click.option("--author", "authors", multiple=True, help="Who made it, such as 'Ada 0000-0002-1825-0097'.")
@click.option("--licence", help="The licence, as an SPDX expression such as BSD-3-Clause.")
@click.option("--tag", "tags", multiple=True, help="What people would look for.")
@click.option("--dataset", "datasets", multiple=True, help="A data set that it reads, by name.")
@click.option("--unit", "units", multiple=True, metavar="COLUMN=UNIT", help="Of a product: a column's unit.")
@click.option("--no-check", is_flag=True, help="Of a tool: do not have pip look for it first.")
@click.option(
    "--repository", metavar="URL", help="Register a public Git repository instead of sending a notebook."
)
@click.option("--branch", default="", help="Of the repository; its own choice by default.")
@click.option("--folder", default="", help="Of the repository; all of it by default.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON, for scripts; ask for nothing.")
def publish(
    what: str | None,
    repository: str | None,
    branch: str,
    folder: str,
    as_json: bool,
    no_check: bool,
    units: tuple[str, ...],
    **given: Any,
) -> None:
    """Send WHAT to the community's catalogue as a draft: a notebook, or a data product or a tool.

    A product is a folder of your scratch, s3://…, or a file photo-z.community.yaml that says `kind: product`, its
    `scratch` and `folder`. A tool is such a file with `kind: tool`, its `requirement` and its `entry_point`.

    What it lacks is asked for at a terminal; of a notebook it is kept in survey.community.yaml beside
    survey.ipynb. You make the draft public on its page, whose address is printed.

    With --repository, the notebooks of a public Git repository that have such a file become drafts, now and
    whenever the repository changes.
    """
    from romanhub.client import community
    from romanhub.client.contributing import Contribution, is_contribution, read_contribution
    from romanhub.client.notebookfile import read_notebook_file

    if (what is None) == (repository is None):
        raise click.UsageError("Name a notebook, a sidecar or a folder of scratch, or --repository.")
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value}
    if repository is not None:
        if left := sorted(fields.keys() - {"name"}):
            raise click.UsageError(f"--{left[0]} is of a notebook. In a repository, its sidecar says it.")
        registered = community.register(
            repository, branch=branch, folder=folder, prefix=str(fields.get("name", ""))
        )
        click.echo(_json(registered.model_dump(mode="json")) if as_json else registered.told())
        return
    assert what is not None
    if units:
        fields["columns"] = dict(_unit(one) for one in units)
    shared = read_contribution(what) if is_contribution(what) else read_notebook_file(Path(what))
    if not as_json and sys.stdin.isatty():
        fields |= _ask({**shared.fields, **fields})
    if isinstance(shared, Contribution):
        draft = community.contribute(shared, fields, check=not no_check)
    else:
        draft = community.send(shared, fields)
    if as_json:
        said = {"name": draft.name, "number": draft.number, "missing": draft.missing, "address": draft.address}
        click.echo(_json(said))
    else:
        click.echo(draft.told())


@romanhub.command()
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, for scripts.")
def search(words: tuple[str, ...], as_json: bool) -> None:
    """Find entries of the catalogue by WORDS."""
    from romanhub.client import community

    found = community.search(" ".join(words))
    if as_json:
        click.echo(_json([one.model_dump(mode="json") for one in found]))
        return
    for one in found:
        click.echo(f"{one.name:<30} {one.title} ({one.state}, version {one.version})")
    if not found:
        click.echo("Nothing was found. Try fewer words.")


@romanhub.command()
@click.argument("entry")
@click.option("--json", "as_json", is_flag=True, help="Print where it is as JSON, for scripts.")
def copy(entry: str, as_json: bool) -> None:
    """Write a copy of ENTRY's notebook into this folder; nothing is written over."""
    from romanhub.client import community

    path = community.copy(entry)
    click.echo(_json({"path": str(path)}) if as_json else f"{path.name} is a copy of {entry}.")


def _unit(text: str) -> tuple[str, str]:
    column, _, unit = text.partition("=")
    if not column or not unit:
        raise click.UsageError(f"{text!r} is no unit of a column: write z_err=dimensionless, or flux=uJy.")
    return column.strip(), unit.strip()


def _ask(known: dict[str, Any]) -> dict[str, Any]:
    """Ask for what an entry cannot be public without; an empty answer leaves it for later."""
    said: dict[str, Any] = {}
    questions = {
        "title": "Title",
        "abstract": "Abstract (what it does and for whom)",
        "authors": "Authors, with ORCID iD, separated by ;",
        "licence": "Licence (such as BSD-3-Clause or CC-BY-4.0)",
    }
    for name, question in questions.items():
        if not known.get(name) and (answer := click.prompt(question, default="", show_default=False).strip()):
            said[name] = answer
    return said


def _json(found: Any) -> str:
    return json.dumps(found, indent=1)


def main() -> None:
    """Run the command; what a person must put right is a line, not a traceback."""
    try:
        romanhub(prog_name="romanhub")
    except RomanHubError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
