"""What runs inside our hubs that are measured: servers that cost nothing, behind our form and our ledger."""

from __future__ import annotations

from hubquota.hub.spawner import QuotaSpawnerMixin

from tests.bench.instant import InstantSpawner, TimedHook


class InstantQuotaSpawner(QuotaSpawnerMixin, InstantSpawner):
    """Servers that cost nothing, for people with an account."""


class TimedQuotaSpawner(TimedHook, InstantQuotaSpawner):
    """The same, with the time of every decision noted."""
