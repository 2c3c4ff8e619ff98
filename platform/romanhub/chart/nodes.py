"""Which of the tiers' sizes fit on which nodes, and how many of them: said before an install, and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hubquota.models.tiers import Tiers

from romanhub.chart.values import NodePool


@dataclass(frozen=True, slots=True)
class Machine:
    """A pod that the tiers file lets people start."""

    title: str
    #: What runs it: users' servers, or Dask workers.
    purpose: str
    cores: int
    memory_gib: int


def machines(tiers: Tiers) -> list[Machine]:
    """The sizes of servers, then each tier's Dask worker."""
    offered = [name for name in tiers.sizes if any(name in tier.sizes for tier in tiers.tiers.values())]
    servers = [
        Machine(f"{size.title} server", "user", size.cores, size.memory_gib)
        for size in (tiers.sizes[name] for name in offered)
    ]
    workers = [
        Machine(f"{tier.title} worker", "worker", tier.dask.worker_cores, tier.dask.worker_memory_gib)
        for tier in tiers.tiers.values()
        if tier.dask.clusters and tier.dask.workers
    ]
    return [*servers, *workers]


def fitting(machine: Machine, pool: NodePool) -> int:
    """How many such pods fit on a node of a pool; 0 where they do not run there."""
    if pool.purpose not in (machine.purpose, "any"):
        return 0
    return int(min(pool.cores // machine.cores, pool.memory_gib // machine.memory_gib))


def left_over(machine: Machine, pool: NodePool) -> float:
    """The part of a full node that is paid for and used by nobody: of cores or memory, what is scarcer, 0 to 1."""
    count = fitting(machine, pool)
    return 1 - max(count * machine.cores / pool.cores, count * machine.memory_gib / pool.memory_gib)


def misfits(tiers: Tiers, nodes: Mapping[str, NodePool]) -> Iterator[str]:
    """A sentence for each machine that no node can hold."""
    for machine in machines(tiers):
        if not any(fitting(machine, pool) for pool in nodes.values()):
            whose = "users' servers" if machine.purpose == "user" else "Dask workers"
            yield (
                f"{machine.title} ({machine.cores} cores, {machine.memory_gib} GiB) fits on none of the nodes for "
                f"{whose}: add such nodes under `nodes`, or take it out of the tiers file."
            )


def table(tiers: Tiers, nodes: Mapping[str, NodePool]) -> str:
    """A Markdown table: how many of each machine fit on each kind of node, and how much is left over."""
    head = [
        f"{name} ({pool.cores:g} cores, {pool.memory_gib:g} GiB{', spot' * pool.spot})"
        for name, pool in nodes.items()
    ]
    lines = [f"| | {' | '.join(head)} |", f"| --- | {' | '.join('---' for _ in head)} |"]
    for machine in machines(tiers):
        cells = [
            f"{count}, {left_over(machine, pool):.0%} unused" if (count := fitting(machine, pool)) else "–"
            for pool in nodes.values()
        ]
        lines.append(
            f"| {machine.title} ({machine.cores} cores, {machine.memory_gib} GiB) | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"
