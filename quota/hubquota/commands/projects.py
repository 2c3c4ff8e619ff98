"""`hubquota project`: accounts that several people draw on."""

from __future__ import annotations

import click

from hubquota.commands import options
from hubquota.commands.options import ledger_of, operator
from hubquota.commands.output import answer, listed, table, when
from hubquota.models.ledger import Member, Role


@click.group()
def project() -> None:
    """Projects, whose members draw on one account."""


@project.command("open")
@click.argument("name")
@click.option("--tier", required=True, help="The tier that it is on while it has no allocation.")
@click.option("--pi", required=True, help="Who leads it.")
@options.for_scripts
@options.database
def open_project(name: str, tier: str, pi: str, as_json: bool, database_url: str) -> None:
    """Open an account for a project, without credits."""
    found = ledger_of(database_url).open_project(name, tier, pi=pi, actor=operator())

    def tell() -> None:
        click.echo(f"{name} is a project, and {pi} its PI. `hubquota allocation grant {name} …` gives it credits.")

    answer(as_json, found, tell)


@project.command("members")
@click.argument("name")
@click.option("--former", is_flag=True, help="Also those who have left.")
@options.for_scripts
@options.database
def members(name: str, former: bool, as_json: bool, database_url: str) -> None:
    """List who is in a project."""
    _print(as_json, ledger_of(database_url).members(name, former=former))


@project.command("member")
@click.argument("name")
@click.argument("member")
@click.option("--role", type=click.Choice(["member", "pi", "none"]), default="member", show_default=True)
@options.for_scripts
@options.database
def set_member(name: str, member: str, role: str, as_json: bool, database_url: str) -> None:
    """Give somebody a role in a project, or take it away."""
    ledger = ledger_of(database_url)
    roles: dict[str, Role | None] = {"member": "member", "pi": "pi", "none": None}
    ledger.set_member(name, member, roles[role], actor=operator())
    _print(as_json, ledger.members(name))


def _print(as_json: bool, found: list[Member]) -> None:
    def tell() -> None:
        table(
            ("member", "role", "since", "until"),
            [(one.name, one.role, when(one.since), when(one.until)) for one in found],
        )

    answer(as_json, listed(found), tell)
