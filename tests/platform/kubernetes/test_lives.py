"""What a pod's own record says of when it began and ended, and why; and what follows for its lease."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dask_gateway_server.backends.base import PublicException
from hubquota.models.stops import EndKind
from hypothesis import given, settings
from hypothesis import strategies as st
from romanhub.kubernetes.clerk import Clerk
from romanhub.kubernetes.lives import Life, life_of
from romanhub.kubernetes.retries import FREE, LONGEST, Retries

BEGAN, ENDED = "2026-11-22T20:00:00Z", "2026-11-22T20:10:00Z"
RUNNING = {"running": {"startedAt": BEGAN}}


def pod(
    state: dict[str, Any] | None = None,
    *,
    kind: str = "dask-worker",
    told: str = "",
    ready: bool = True,
    **status: Any,
) -> dict[str, Any]:
    """A pod as Kubernetes gives it out."""
    containers = (
        [] if state is None else [{"name": kind, "state": state, "ready": "running" in state, "restartCount": 0}]
    )
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": ENDED}]
    return {
        "metadata": {
            "name": "dask-worker-1",
            "namespace": "workers",
            "creationTimestamp": BEGAN,
            "labels": {"gateway.dask.org/cluster": "c", "app.kubernetes.io/component": kind},
            "annotations": {"romanhub/lease": "7", "romanhub/key": "dask-worker:workers.c/a"},
            **({"deletionTimestamp": told} if told else {}),
        },
        "spec": {"containers": [{"resources": {"limits": {"memory": str(4 * 2**30)}}}]},
        "status": {"phase": "Running", "containerStatuses": containers, "conditions": conditions, **status},
    }


def life(*args: Any, gone: bool = False, **status: Any) -> Life:
    found = life_of(pod(*args, **status), gone=gone, now=datetime(2026, 11, 22, 21, tzinfo=UTC))
    assert found is not None
    return found


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": BEGAN, "finishedAt": ENDED}}


def test_a_pod_that_runs_and_one_that_waits() -> None:
    running = life(RUNNING)
    assert (running.runs, running.waits, running.end) == (True, False, None)
    assert (running.key, running.lease, running.cluster) == ("dask-worker:workers.c/a", 7, "workers.c")
    assert running.began == datetime.fromisoformat(BEGAN)
    waiting = life(None, phase="Pending")
    assert (waiting.runs, waiting.waits) == (False, True)
    scheduler = life(RUNNING, kind="dask-scheduler")
    assert (scheduler.key, scheduler.lease) == ("dask-cluster:workers.c", None)
    assert life_of({"metadata": {"name": "x", "namespace": "y"}}) is None


@pytest.mark.parametrize(
    ("found", "kind", "sentence"),
    [
        (
            life(ended(137, "OOMKilled"), phase="Failed"),
            "out-of-memory",
            "It needed more memory than it has, 4 GB.",
        ),
        (
            life(ended(137), phase="Failed", reason="Evicted", message="Low on disk."),
            "evicted",
            "Its machine could not keep it: Low on disk.",
        ),
        (
            life(
                ended(143),
                told=ENDED,
                conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}],
            ),
            "node-lost",
            "The machine that it ran on went away.",
        ),
        (life(ended(143), told=ENDED), "removed", "Its pod was deleted."),
        (life(ended(3), phase="Failed"), "ended", "Its process ended with exit code 3."),
        (life(RUNNING, ready=False), "node-lost", "The machine that it ran on does not answer."),
        (life(RUNNING, gone=True, told=ENDED), "removed", "Its pod was deleted."),
    ],
)
def test_each_end_has_its_time_and_its_reason(found: Life, kind: str, sentence: str) -> None:
    assert found.end is not None
    assert (found.end.kind, found.end.reason) == (kind, f"The worker has ended: {sentence}")
    assert found.ended == datetime.fromisoformat(ENDED)
    assert not found.runs


def test_an_end_that_nobody_saw_has_no_time_of_its_own() -> None:
    found = life(RUNNING, gone=True)
    assert found.end is not None and found.ended is None
    # A worker that was done is no fault of anybody's.
    done = life(ended(0, "Completed"), phase="Succeeded")
    assert done.end is not None and (done.end.kind, done.end.reason) == (None, "The worker has ended.")


class SometimesThere:
    """Takes notes, as the policy does, except when the ledger does not answer, which is every so often."""

    def __init__(self, answers: list[bool]) -> None:
        self.answers = answers
        self.notes: list[tuple[object, ...]] = []

    def _note(self, *note: object) -> None:
        if self.answers and not self.answers.pop():
            raise PublicException("The ledger does not answer.")
        self.notes.append(note)

    async def began(self, lease: int, at: datetime) -> bool:
        self._note("began", lease, at)
        return True

    async def ended(self, lease: int, at: datetime | None, why: str, kind: EndKind | None = None) -> None:
        self._note("ended", lease, at, why, kind)

    async def cluster_began(self, cluster: str, at: datetime) -> None:
        self._note("cluster began", cluster, at)

    async def cluster_ended(
        self, cluster: str, at: datetime | None, *, failed: bool, why: tuple[str, EndKind] | None = None
    ) -> None:
        self._note("cluster ended", cluster, at, failed)


@settings(deadline=None)
@given(
    answers=st.lists(st.booleans(), max_size=3),
    seen=st.lists(st.sampled_from(["waits", "runs", "oom"]), min_size=1, max_size=6),
)
def test_a_begin_and_an_end_are_noted_once_and_in_this_order_whatever_is_heard_how_often(
    answers: list[bool], seen: list[str]
) -> None:
    looks = {
        "waits": life(None, phase="Pending"),
        "runs": life(RUNNING),
        "oom": life(ended(137, "OOMKilled"), phase="Failed"),
    }
    heard = [looks[one] for one in sorted(seen, key=list(looks).index)]

    async def take() -> list[tuple[object, ...]]:
        ledger = SometimesThere(list(answers))
        clerk = Clerk(ledger, lambda one: one.end, lambda _name: False, lambda _one: None, 0.001)  # type: ignore[arg-type]
        work = asyncio.create_task(clerk.run())
        for one in heard:
            clerk.take(one)
            await asyncio.sleep(0)
        last = life(ended(137, "OOMKilled"), phase="Failed", gone=True)
        clerk.take(last, gone=True)
        async with asyncio.timeout(20):
            while clerk.noting():
                await asyncio.sleep(0.01)
        work.cancel()
        return ledger.notes

    assert [note[0] for note in asyncio.run(take())] == ["began", "ended"]


def test_a_worker_without_a_lease_is_ended() -> None:
    stray = pod(RUNNING)
    del stray["metadata"]["annotations"]
    found, ends = life_of(stray), []
    assert found is not None

    async def take() -> None:
        clerk = Clerk(SometimesThere([]), lambda _one: None, lambda _name: False, ends.append)  # type: ignore[arg-type,return-value]
        work = asyncio.create_task(clerk.run())
        clerk.take(found)
        async with asyncio.timeout(20):
            while not ends:
                await asyncio.sleep(0)
        work.cancel()

    asyncio.run(take())
    assert ends == [found]


def test_workers_that_end_at_once_are_started_again_ever_less_often() -> None:
    retries, now = Retries(), datetime(2026, 11, 22, tzinfo=UTC)
    waits = []
    for _ in range(12):
        began = now
        retries.ended("c", began, now)
        waited = timedelta(0)
        while not retries.may_start("c", now):
            now += timedelta(seconds=1)
            waited += timedelta(seconds=1)
        waits.append(waited)
    assert waits[:FREE] == [timedelta(0)] * FREE
    assert waits == sorted(waits) and waits[-1] == LONGEST
    retries.ended("c", now - timedelta(minutes=5), now)
    assert retries.may_start("c", now)
