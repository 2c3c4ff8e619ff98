"""The whole platform by `helm install` with the real charts, on a real node: what an operator and a person do."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import helm_python as helm
import httpx
import pytest
from hubquota.models.kinds import SERVER
from hubquota.models.ledger import Lease
from romanhub.kubernetes.lives import LEASE
from romanhub.models.runs import COMMUNITY_ROBOT
from romanhub.probe.visit import CUTOUT

from tests.cluster import backup, images
from tests.cluster.conftest import Cluster
from tests.cluster.install import PATIENCE, Installation, prepared
from tests.helm.charts import CHARTS, NAMESPACE, RELEASE, with_values
from tests.quota.support import Postgres, eventually
from tests.support.author import Author
from tests.support.person import Kernel, Person

pytestmark = pytest.mark.skipif(
    not os.environ.get(CHARTS), reason=f"{CHARTS} does not say where the two real charts are"
)

#: A notebook's cluster of two workers: it says how long each took, and what they computed.
CLUSTER = """
import time
import romanhub
began = time.monotonic()
cluster = romanhub.cluster(workers=2)
client = cluster.get_client()
client.wait_for_workers(1, timeout=480)
first = time.monotonic() - began
client.wait_for_workers(2, timeout=480)
print(first, time.monotonic() - began, client.submit(sum, [40, 2]).result(timeout=60))
"""

#: Keys of a worker's own, as AWS's libraries find them there.
WORKER_READS = """
def read():
    import boto3
    return boto3.client("s3").list_objects_v2(Bucket="roman-archive", Prefix="level2/", MaxKeys=1)["KeyCount"]
print(client.submit(read).result(timeout=60))
"""

STOP = "client.close(); cluster.shutdown()"

#: The door, a server, a kernel, a cutout, a cluster, the welcome notebook, and the end.
ROBOT_STEPS = 7


#: Whose server a pod is.
USERNAME = "hub.jupyter.org/username"

#: What somebody has in a notebook and at home while the operator changes the platform, and how they see it again.
KEEPS, STILL = 'kept = 42; open("kept.txt", "w").write("the same")', 'print(kept, open("kept.txt").read())'


@pytest.fixture(scope="module")
def ready_to_install(cluster: Cluster, postgres: Postgres) -> Iterator[Installation]:
    """All that an operator does before the install."""
    with tempfile.TemporaryDirectory(prefix="ri-", dir="/var/tmp") as name:
        folder = Path(name)
        # Homes are in it.
        folder.chmod(0o755)
        with prepared(cluster, postgres, folder, Path(os.environ[CHARTS])) as found:
            yield found


@pytest.fixture(scope="module")
def platform(ready_to_install: Installation) -> Iterator[Installation]:
    """The platform, ready."""
    try:
        with ready_to_install.figures.timed("`helm install` until every pod is ready"):
            ready_to_install.install()
    except BaseException:
        print(ready_to_install.logs())
        raise
    yield ready_to_install
    ready_to_install.figures.keep()


@pytest.fixture(autouse=True)
def what_pods_said_where_it_failed(
    request: pytest.FixtureRequest, ready_to_install: Installation
) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(ready_to_install.logs())


@pytest.fixture(scope="module")
def ada(platform: Installation) -> Person:
    """Somebody who has signed in."""
    person = Person(platform.url, "ada", platform.secret("romanhub-hub", "trial-password"))
    with platform.figures.timed("the first sign-in"):
        page = person.sign_in()
    assert page.is_success
    return person


def times(pod: dict[str, Any]) -> tuple[datetime, datetime]:
    """When a pod's container began and ended."""
    (status,) = pod["status"]["containerStatuses"]
    ended = status["state"]["terminated"]
    return tuple(datetime.fromisoformat(ended[key]) for key in ("startedAt", "finishedAt"))  # type: ignore[return-value]


def test_a_database_that_is_down_ends_the_install_with_a_sentence(ready_to_install: Installation) -> None:
    nowhere = f"{ready_to_install.cluster.plane.address}:9"
    ready_to_install.say_databases(
        {name: f"postgresql+psycopg://romanhub@{nowhere}/{name}" for name in ready_to_install.databases}
    )
    try:
        with (
            ready_to_install.release() as release,
            pytest.raises(helm.HelmError, match="failed pre-install: .*romanhub-migrations"),
        ):
            release.install(ready_to_install.chart, RELEASE, ready_to_install.values)
        (said,) = ready_to_install.said_by_job("romanhub-migrations").strip().splitlines()
        assert said.startswith(f"The ledger's database at {nowhere}/ledger cannot be reached: "), said
        assert not ready_to_install.unready(), "nothing else was made"
    finally:
        # The same command, once the database is there, is the install.
        ready_to_install.say_databases(ready_to_install.databases)


def test_every_pod_is_ready_and_the_portal_is_open_to_who_has_signed_in(
    platform: Installation, ada: Person
) -> None:
    assert platform.unready() == {}
    portal = ada.web.get("/services/portal/")
    assert portal.is_success, portal.text
    assert "Explorer" in portal.text
    stranger = httpx.get(f"{platform.url}/services/portal/api/health", trust_env=False)
    assert stranger.is_success, "the health of the portal is for everybody"


def test_a_server_its_cluster_and_a_cutout_are_charged_for_the_times_of_their_pods(
    platform: Installation, ada: Person
) -> None:
    platform.run_job("romanhub-search-index", "index-now")
    began = time.monotonic()
    ada.start_server(size="small").raise_for_status()
    platform.figures.note("a small server until it is ready", time.monotonic() - began)
    assert "JupyterLab" in ada.web.get("/user/ada/lab").text
    platform.figures.note("a small server until Lab's page is there", time.monotonic() - began)
    (server,) = platform.pods("singleuser-server")
    assert server["spec"]["automountServiceAccountToken"] is False
    changes = platform.cluster.changes(server)
    workers = asyncio.run(_compute(platform, ada))
    ada.stop_server()

    began_at, ended_at = times(changes.last())
    lease = eventually(
        lambda: next((one for one in platform.ledger.statement("ada").ended if one.kind == SERVER), None),
        "the end of the server's lease",
    )
    assert (lease.started_at, lease.ended_at) == (max(began_at, lease.admitted_at), ended_at)
    charged_exactly(lease)
    for pod in workers:
        found = eventually(partial(_ended, platform, pod), "the end of a worker's lease")
        assert found.account == "ada"
        assert (found.started_at, found.ended_at) == times(pod)
        charged_exactly(found)
    assert platform.ledger.verify() == []


def charged_exactly(lease: Lease) -> None:
    """Check that a lease was charged for each second that it ran, at its rate."""
    assert lease.started_at is not None and lease.ended_at is not None
    assert lease.charged == lease.rate * int((lease.ended_at - lease.started_at).total_seconds()) > 0


def _ended(platform: Installation, pod: dict[str, Any]) -> Lease | None:
    found = platform.ledger.lease(int(pod["metadata"]["annotations"][LEASE]))
    return None if found is None or found.is_open else found


async def _compute(platform: Installation, ada: Person) -> list[dict[str, Any]]:
    """A cutout and a cluster in a notebook; returns the workers' pods as they were in the end."""
    kernel = await ada.kernel()
    try:
        cutout = await kernel.run(CUTOUT)
        assert cutout.error is None, cutout.error
        made = await kernel.run(CLUSTER)
        assert made.error is None, made.error
        first, both, result = made.text.split()[-3:]
        assert result == "42"
        platform.figures.note("a cluster until its first worker is there", float(first))
        platform.figures.note("a cluster until both of its workers are there", float(both))
        platform.weigh()
        read = await kernel.run(WORKER_READS)
        assert read.error is None, read.error
        workers = platform.pods("dask-worker")
        assert len(workers) == 2
        assert {pod["metadata"]["labels"][USERNAME] for pod in workers} == {"ada"}
        changes = [platform.cluster.changes(pod) for pod in workers]
        stopped = await kernel.run(STOP)
        assert stopped.error is None, stopped.error
        return [await asyncio.to_thread(one.last) for one in changes]
    finally:
        await kernel.end()


def test_the_robot_finds_nothing_to_complain_about(platform: Installation) -> None:
    said = platform.run_job("romanhub-probe", "probe-now")
    assert "Passed" in said
    steps = re.findall(r"^  ✓ (.+?) +([\d.]+) s$", said, re.MULTILINE)
    assert len(steps) == ROBOT_STEPS, said
    for what, seconds in steps:
        platform.figures.note(f"the robot: {what[0].lower()}{what[1:]}", float(seconds))
    eventually(lambda: not platform.pods("singleuser-server"), "the end of the robot's server", within=60)
    assert platform.ledger.verify() == []


def test_a_shared_notebook_is_run_in_a_pod_of_which_nothing_is_left(platform: Installation, ada: Person) -> None:
    author = Author(ada.url, ada.name, ada.password)
    author.publish("depth", "x = 6", "import romanhub; print(7 * x)", image=images.ROMAN)

    def robots() -> list[dict[str, Any]]:
        found = platform.pods("singleuser-server")
        return [pod for pod in found if pod["metadata"]["annotations"][USERNAME] == COMMUNITY_ROBOT]

    (pod,) = eventually(robots, "the robot's pod", within=PATIENCE)
    (container,) = pod["spec"]["containers"]
    (home,) = (one["name"] for one in container["volumeMounts"] if one["mountPath"] == "/home/roman")
    assert [one for one in pod["spec"]["volumes"] if one["name"] == home and "emptyDir" in one]
    eventually(lambda: author.proof("depth") == "passed", "a run that passes", within=PATIENCE)
    eventually(lambda: not robots(), "the end of the robot's pod", within=PATIENCE)
    (lease,) = eventually(lambda: platform.ledger.statement(COMMUNITY_ROBOT).ended, "the end of its lease")
    charged_exactly(lease)
    claims = platform.cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims").json()["items"]
    assert not [one for one in claims if COMMUNITY_ROBOT in one["metadata"]["name"]]

    author.publish("elsewhere", "x = 1", image="registry.example.org/other:1")
    told = eventually(lambda: next((one for one in author.notices() if "elsewhere" in one["subject"]), None), "it")
    assert f"this platform has {images.ROMAN}" in told["text"]


def test_an_upgrade_and_a_rollback_leave_a_server_that_runs(platform: Installation, ada: Person) -> None:
    ada.start_server(size="small").raise_for_status()
    try:
        (before,) = platform.pods("singleuser-server")
        (lease,) = platform.ledger.statement("ada").running
        ended = platform.ledger.statement("ada").ended
        asyncio.run(_meanwhile(platform, ada))
        (after,) = platform.pods("singleuser-server")
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        (still,) = platform.ledger.statement("ada").running
        assert (still.id, still.started_at) == (lease.id, lease.started_at)
        assert platform.ledger.statement("ada").ended == ended
        assert ada.api("GET", ada.path).json()["servers"][""]["ready"]
    finally:
        ada.stop_server()
    assert platform.ledger.verify() == []


def _answers(ada: Person) -> bool:
    """Whether an open page reaches the server: a proxy that begins anew has the route after a moment."""
    return "started" in ada.web.get("/user/ada/api/status").text


async def _meanwhile(platform: Installation, ada: Person) -> None:
    """Upgrade and roll back while a notebook runs; look into it after each."""
    token = ada.token()
    # Lab is open in a browser, which stays signed in.
    assert "JupyterLab" in ada.web.get("/user/ada/lab").text
    assert _answers(ada)
    kernel = await ada.kernel(token)
    made = await kernel.run(KEEPS)
    assert made.error is None, made.error
    kernel.close()
    migrated = [platform.migrated()]
    with platform.release() as release:
        revision = release.status(RELEASE)["revision"]
        # More of the portal, and a hub that starts again.
        more = {"portal": {"replicas": 3}, "jupyterhub": {"hub": {"extraEnv": {"UPGRADED": "yes"}}}}
        upgrade = partial(release.upgrade, platform.chart, RELEASE, with_values(platform.values, more))
        rollback = partial(release.rollback, RELEASE, version=revision)
        for what, change, replicas in (("upgrade", upgrade, 3), ("rollback", rollback, 2)):
            with platform.figures.timed(f"`helm {what}` until every pod is ready again"):
                await asyncio.to_thread(change, timeout=int(PATIENCE))
                await asyncio.to_thread(platform.wait_ready)
            assert len(platform.pods("portal")) >= replicas
            migrated.append(platform.migrated())
            await asyncio.to_thread(eventually, partial(_answers, ada), "an answer of the server that ran on")
            again = await Kernel.connect(kernel.base, kernel.id, token)
            try:
                found = await again.run(STILL)
            finally:
                again.close()
            assert found.text.strip() == "42 the same", found.error
    assert len(set(migrated)) == len(migrated), "the migrations ran for each of the three"


def test_a_backup_of_all_databases_is_restored(
    platform: Installation, ada: Person, postgres: Postgres, tmp_path: Path
) -> None:
    ada.start_server(size="small").raise_for_status()
    (lease,) = platform.ledger.statement("ada").running
    dumps, taken = backup.dump(platform.databases, tmp_path), datetime.now(UTC)
    # Of this the backup knows nothing.
    ada.stop_server()
    new = {name: backup.another(url, f"{name}2") for name, url in platform.databases.items()}
    with platform.figures.timed("all databases restored, until every pod is ready again"):
        platform.end_parts()
        for name in new:
            postgres.new_database(f"{name}2")
        backup.restore(dumps, new)
        platform.use_databases(new)
        platform.install()

    eventually(lambda: not platform.ledger.statement("ada").running, "the end of what had ended", within=PATIENCE)
    found = platform.ledger.lease(lease.id)
    # It has ended when it was seen last, so that what nobody knows of is nobody's debt.
    assert found is not None and found.started_at is not None and found.ended_at is not None
    assert found.charged == found.rate * int((found.ended_at - found.started_at).total_seconds())
    assert found.ended_at <= taken
    # People are known, with what they have published, and go on.
    author = Author(ada.url, ada.name, ada.password)
    assert author.proof("depth") == "passed"
    author.start_server(size="small").raise_for_status()
    assert "JupyterLab" in author.web.get("/user/ada/lab").text
    author.stop_server()
    assert platform.ledger.verify() == []
