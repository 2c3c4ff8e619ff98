"""`hubquota project`: accounts that several people draw on."""

from __future__ import annotations

import click
import httpx

from hubquota.commands import options
from hubquota.commands.caps import cap
from hubquota.commands.door import Failed
from hubquota.commands.options import ledger_of, operator
from hubquota.commands.output import answer, listed, table, when
from hubquota.hub.api import HubApi
from hubquota.models.ledger import ConflictingAccountError, Member, Role
from hubquota.models.words import number_text
from hubquota.services.tiersfile import load_tiers


@click.group()
def project() -> None:
    """Projects, whose members draw on one account."""


@project.command("open")
@click.argument("name")
@click.option("--tier", required=True, help="The tier that it is on while it has no allocation.")
@click.option("--pi", required=True, help="Who leads it.")
@options.for_scripts
@options.tiers_to_check
@options.database
def open_project(name: str, tier: str, pi: str, as_json: bool, tiers_path: str | None, database_url: str) -> None:
    """Open an account for a project, without credits."""
    options.known_tier(tier, tiers_path)
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


@project.command()
@click.option("--hub-url", envvar="JUPYTERHUB_API_URL", required=True, help="The hub's REST API.")
@click.option("--hub-token", envvar="JUPYTERHUB_API_TOKEN", required=True, help="A token for it.")
@options.for_scripts
@options.tiers_file
@options.database
def sync(hub_url: str, hub_token: str, as_json: bool, tiers_path: str, database_url: str) -> None:
    """Bring the members of all projects into step with the hub's groups, by the rules of the tiers file."""
    tiers, ledger = load_tiers(tiers_path), ledger_of(database_url)
    headers = {"Authorization": f"token {hub_token}"}
    with httpx.Client(base_url=f"{hub_url.rstrip('/')}/", headers=headers, timeout=30) as client:
        try:
            groups = dict(HubApi(client).groups())
        except httpx.HTTPError as error:
            raise Failed(f"The hub's groups cannot be read: {error}", "hub") from error
    found = tiers.projects.of_groups(groups)
    changed, conflicts = 0, []
    for name, (tier, _) in found.items():
        members, pis = tiers.projects.people_of(name, groups)
        try:
            changed += ledger.sync_members(name, members, pis, tier=tier)
        except ConflictingAccountError as error:
            conflicts.append(str(error))
    changed += ledger.end_group_memberships(besides=found)

    def tell() -> None:
        for conflict in conflicts:
            click.echo(conflict, err=True)
        count = number_text(len(found), "project")
        click.echo(f"{count} from groups; {number_text(changed, 'membership')} opened or ended.")

    answer(as_json, {"projects": sorted(found), "changed": changed, "conflicts": conflicts}, tell)


project.add_command(cap)


def _print(as_json: bool, found: list[Member]) -> None:
    def tell() -> None:
        table(
            ("member", "role", "since", "until"),
            [(one.name, one.role, when(one.since), when(one.until)) for one in found],
        )

    answer(as_json, listed(found), tell)
