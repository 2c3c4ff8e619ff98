"""The command `hubquota`: setting the ledger up, looking at it, and watching a hub."""

from __future__ import annotations

import click

from hubquota import __version__
from hubquota.commands.accounts import account
from hubquota.commands.allocations import allocation
from hubquota.commands.audit import audit
from hubquota.commands.clusters import cluster
from hubquota.commands.door import Door
from hubquota.commands.export import export
from hubquota.commands.leases import lease
from hubquota.commands.metrics import metrics
from hubquota.commands.notices import notices
from hubquota.commands.overrides import override
from hubquota.commands.projects import project
from hubquota.commands.purge import purge
from hubquota.commands.reference import reference
from hubquota.commands.renew import renew
from hubquota.commands.requests import request
from hubquota.commands.scratch import scratch
from hubquota.commands.tiers import tiers
from hubquota.commands.upkeep import migrate, states, sweep, verify
from hubquota.commands.watch import watch
from hubquota.commands.whatif import what_if


@click.group(cls=Door)
@click.version_option(__version__, prog_name="hubquota")
def main() -> None:
    """Tiers, budgets and an exact ledger for a JupyterHub."""


main.add_command(migrate)
main.add_command(account)
main.add_command(allocation)
main.add_command(request)
main.add_command(renew)
main.add_command(project)
main.add_command(override)
main.add_command(lease)
main.add_command(cluster)
main.add_command(scratch)
main.add_command(tiers)
main.add_command(audit)
main.add_command(export)
main.add_command(what_if)
main.add_command(sweep)
main.add_command(verify)
main.add_command(states)
main.add_command(notices)
main.add_command(purge)
main.add_command(metrics)
main.add_command(watch)
main.add_command(reference)
