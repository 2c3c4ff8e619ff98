"""`hubquota commands`: every command, as the documentation lists them."""

from __future__ import annotations

from collections.abc import Iterator

import click


@click.command("commands")
@click.pass_context
def reference(context: click.Context) -> None:
    """Print every command as a Markdown table, for the documentation."""
    click.echo(commands_table(context.find_root().command), nl=False)


def commands_table(root: click.Command) -> str:
    """Return the commands of `hubquota`, with what they are given and what they do, as a Markdown table."""
    rows = [
        f"| `{' '.join(['hubquota', *path, *_given(command)])}` | {_does(command)} |\n"
        for path, command in _walk(root, ())
    ]
    return "".join(["| Command | Does |\n", "| --- | --- |\n", *rows])


def _walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, within in command.commands.items():
        yield from _walk(within, (*path, name))


def _given(command: click.Command) -> list[str]:
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    return [(one.metavar or one.name or "").upper() for one in arguments]


def _does(command: click.Command) -> str:
    text = " ".join((command.help or "").split("\n\n")[0].split())
    return text.replace("|", "\\|")
