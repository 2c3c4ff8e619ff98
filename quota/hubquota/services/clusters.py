"""Clusters: what each of them runs and has cost, and what administrators say of them."""

from __future__ import annotations

from hubquota.models.clusters import ClusterUse, Instruction, cluster_key, cluster_of, worker_key
from hubquota.models.kinds import CLUSTER, WORKER
from hubquota.models.ledger import ImpossibleError, Lease, UnknownLeaseError
from hubquota.models.letters import letter
from hubquota.models.words import number_text
from hubquota.services.base import Service
from hubquota.storage import clusters, leases, notices
from hubquota.storage.engine import decision, reading
from hubquota.storage.times import moment, seconds


class Clusters(Service):
    """Reads clusters, limits and stops them. Whoever runs them carries it out."""

    def clusters(self, account: str | None = None, *, person: str | None = None) -> list[ClusterUse]:
        """Return the clusters that run, in the order of their admission: all, an account's, a person's."""
        now = self._now()
        with reading(self._engine) as connection:
            found = leases.list_open(connection, now, kind=CLUSTER, owner=account, person=person)
            workers: dict[str, list[Lease]] = {cluster_of(lease.key): [] for lease in found}
            if found:
                for lease in leases.list_open(connection, now, kind=WORKER, owner=account, person=person):
                    workers.get(cluster_of(lease.key), []).append(lease)
            told = clusters.last_instructions(connection, [lease.id for lease in found])
            ended = {
                lease.id: clusters.ended_cost(
                    connection,
                    lease.account,
                    since=seconds(lease.admitted_at),
                    prefix=worker_key(cluster_of(lease.key), ""),
                )
                for lease in found
            }
        at = moment(now)
        uses = []
        for lease in found:
            own = workers[cluster_of(lease.key)]
            running = [one for one in own if one.started_at is not None]
            uses.append(
                ClusterUse(
                    name=cluster_of(lease.key),
                    lease=lease,
                    workers=len(running),
                    starting=len(own) - len(running),
                    rate=sum(one.rate for one in running),
                    cost=ended[lease.id] + sum(one.cost(at) for one in own),
                    instruction=told.get(lease.id),
                )
            )
        return uses

    def cluster(self, name: str) -> ClusterUse:
        """Return a cluster that runs.

        Raises:
            UnknownLeaseError: none of that name runs.
        """
        lease = self._cluster_lease(name)
        return next(one for one in self.clusters(lease.account, person=lease.person) if one.name == name)

    def instruction(self, name: str) -> Instruction | None:
        """Return what an administrator said last of a cluster that runs; None for nothing."""
        with reading(self._engine) as connection:
            found = leases.find_open(connection, cluster_key(name), self._now())
            if found is None:
                return None
            return clusters.last_instructions(connection, [found[0].id]).get(found[0].id)

    def limit_cluster(self, name: str, most: int, *, actor: str, reason: str) -> Instruction:
        """Have a cluster keep to a number of workers. Those beyond it end; its owner is told.

        Asked for again, nothing changes.

        Raises:
            UnknownLeaseError: none of that name runs.
            ImpossibleError: there is no reason, or it has been told to stop.
            ValueError: the number is below zero.
        """
        if most < 0:
            raise ValueError("A limit cannot be below zero.")
        return self._instruct(name, most, actor=actor, reason=reason)

    def stop_cluster(self, name: str, *, actor: str, reason: str) -> Instruction:
        """Have a cluster stop, its workers first; its owner is told. Asked for again, nothing changes.

        Raises:
            UnknownLeaseError: none of that name runs.
            ImpossibleError: there is no reason.
        """
        return self._instruct(name, None, actor=actor, reason=reason)

    def _cluster_lease(self, name: str) -> Lease:
        with reading(self._engine) as connection:
            found = leases.find_open(connection, cluster_key(name), self._now())
        if found is None:
            raise UnknownLeaseError(f"No cluster '{name}' runs.")
        return found[0]

    def _instruct(self, name: str, most: int | None, *, actor: str, reason: str) -> Instruction:
        if not reason.strip():
            raise ImpossibleError("Say why: the cluster's owner reads the reason.")
        with decision(self._engine) as connection:
            found = leases.find_open(connection, cluster_key(name), self._now())
            if found is None:
                raise UnknownLeaseError(f"No cluster '{name}' runs.")
            # Its account is locked, so that of two administrators at once one comes after the other.
            book = self._book_of(connection, found[1])
            lease = leases.find(connection, found[0].id, book.now, lock=True)
            if lease is None or not lease.is_open:
                raise UnknownLeaseError(f"No cluster '{name}' runs.")
            before = clusters.last_instructions(connection, [lease.id]).get(lease.id)
            if before is not None and before.most is None:
                if most is None:
                    return before
                raise ImpossibleError(f"The cluster {name} has been told to stop already.")
            if before is not None and (before.most, before.actor, before.reason) == (most, actor, reason):
                return before
            given = clusters.add_instruction(
                connection, lease.id, most=most, at=book.now, actor=actor, reason=reason
            )
            if most is None:
                leases.set_reason(connection, lease.id, given.text, "admin")
                kind, subject = "cluster-stopped", "Your Dask cluster is being stopped"
            else:
                kind = "cluster-limited"
                subject = f"Your Dask cluster may have {number_text(most, 'worker')} at most"
            told = letter(
                kind, str(given.id), subject, f"Cluster {name}, on the account {lease.account}.\n\n{given.text}"
            )
            if lease.person != actor:
                notices.post(connection, [(lease.person, told)], at=book.now)
            return given
