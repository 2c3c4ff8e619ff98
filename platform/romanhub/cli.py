"""The command line: `romanhub --help`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import click

from romanhub import __version__
from romanhub.commands.archive import archive
from romanhub.commands.community import community
from romanhub.commands.datasets import datasets
from romanhub.commands.kubernetes import kubernetes, secrets
from romanhub.local.environments import SetupError
from romanhub.local.layout import State, default_state


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def romanhub() -> None:
    """A science platform for the Nancy Grace Roman Space Telescope.

    `romanhub up` starts the whole platform on this machine. Its users, homes and data live in one folder,
    which ROMANHUB_STATE names.
    """


@romanhub.command()
@click.option("--port", envvar="ROMANHUB_PORT", default=8000, show_default=True, help="Where people sign in.")
@click.option(
    "--full", is_flag=True, envvar="ROMANHUB_FULL", help="Give users the whole analysis image, not its core alone."
)
@click.option(
    "--archive",
    envvar="ROMANHUB_ARCHIVE",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder made by `romanhub sample`, to be the archive instead of the small one that comes along.",
)
def up(port: int, full: bool, archive: Path | None) -> None:
    """Start the platform; Ctrl-C ends it."""
    from romanhub.local.sample_archive import SMALL
    from romanhub.local.screen import Screen
    from romanhub.local.up import up as start

    start(State(default_state()), port=port, full=full, archive=archive or SMALL, screen=Screen())


@romanhub.command()
@click.argument("user")
def password(user: str) -> None:
    """Make a new password for USER's local account, and print it."""
    from romanhub.local.settings import Settings
    from romanhub.sign_in.local_accounts import first_password

    try:
        settings = Settings.load()
    except FileNotFoundError:
        raise SetupError("The platform has never been started here: romanhub up") from None
    click.echo(f"{user}: {first_password(settings.passwords, user, again=True)}")


@romanhub.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sample(arguments: tuple[str, ...]) -> None:
    """Make a sample archive by simulation: `romanhub sample --help`.

    Runs in the whole analysis image, which is installed first where it is not there yet.
    """
    from romanhub.local.analysis import ensure_roman
    from romanhub.local.screen import Screen

    state = State(default_state())
    state.make()
    full = ensure_roman(state, full=True, screen=Screen())
    command = [str(full.python), "-m", "romanhub.sample", *arguments]
    source = str(Path(__file__).resolve().parents[1])
    raise SystemExit(subprocess.run(command, env={**os.environ, "PYTHONPATH": source}).returncode)


@romanhub.command()
@click.option("--url", envvar="ROMANHUB_URL", help="The platform's address; the one on this machine by default.")
@click.option("--token", envvar="ROMANHUB_PROBE_TOKEN", help="The robot's token, with an address.")
@click.option("--size", help="The size to start; the tier's default by default.")
@click.option(
    "--metrics",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report there too, for Prometheus's textfile collector.",
)
@click.option("--push", help="Send the report there too: the address of a Prometheus Pushgateway.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for scripts.")
def probe(
    url: str | None, token: str | None, size: str | None, metrics: Path | None, push: str | None, as_json: bool
) -> None:
    """Use the platform as a robot, from sign-in to a Dask cluster, and say how long each step took.

    It fails where a step does not do what it should, and stops whatever it started. The robot has an
    account of its own, which pays for what it runs.
    """
    from romanhub.probe.command import run

    passed = run(url, token, {"size": size} if size else {}, metrics=metrics, push=push, as_json=as_json)
    raise SystemExit(0 if passed else 1)


@romanhub.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(yes: bool) -> None:
    """Remove the folder of state: users, homes, data and environments."""
    from romanhub.local.clean import clean as remove

    state = State(default_state())
    if state.mark.exists() and not yes:
        click.confirm(f"Remove {state.root} with every user, home and data in it?", abort=True)
    click.echo(remove(state))


romanhub.add_command(archive)
romanhub.add_command(community)
romanhub.add_command(datasets)
romanhub.add_command(kubernetes)
romanhub.add_command(secrets)


def main() -> None:
    """Run the command line; what a person must put right is a line, not a traceback."""
    try:
        romanhub()
    except SetupError as error:
        raise SystemExit(f"\n{error}") from None


if __name__ == "__main__":
    main()
