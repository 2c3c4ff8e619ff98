"""The mixin over other spawners, without a hub: what it takes over, and what it leaves alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hubquota.hub.allowance import allowance_for
from hubquota.hub.spawner import QuotaSpawnerMixin
from hubquota.models.money import to_units
from hubquota.models.overrides import Overridden
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from jupyterhub.spawner import SimpleLocalProcessSpawner, Spawner
from kubespawner import KubeSpawner
from tornado.web import HTTPError
from traitlets.config import Config

from tests.quota.purge_support import ROOT, fill, make_purge, make_settings
from tests.quota.support import HERE, Clock, eventually


class OldSpawner(Spawner):  # type: ignore[misc]
    """A spawner with a default form of its own, and whose methods are no coroutines."""

    def _options_form_default(self) -> str:
        return "<p>mine</p>"

    def start(self) -> Any:
        if self.args:
            raise RuntimeError("no room")
        return asyncio.get_running_loop().create_task(asyncio.sleep(0, ("127.0.0.1", 1)))

    def poll(self) -> int | None:
        return None

    async def stop(self, now: bool = False) -> None:
        pass


class QuotaSpawner(QuotaSpawnerMixin, OldSpawner):  # type: ignore[misc]
    pass


def make(
    database: str, *, groups: tuple[str, ...] = (), tiers: Path = HERE / "hub_tiers.yaml", **more: Any
) -> Any:
    config = Config()
    config.Spawner.quota_tiers_file = str(tiers)
    config.Spawner.quota_database_url = database
    config.Spawner.quota_deadline = 5
    for name, value in more.items():
        config.Spawner[name] = value
    row = SimpleNamespace(name="ada", groups=[SimpleNamespace(name=group) for group in groups])
    user = SimpleNamespace(orm_user=row, **vars(row))
    orm = SimpleNamespace(name="", server=None)
    return QuotaSpawner(config=config, user=user, orm_spawner=orm, user_options={})


@pytest.mark.parametrize("spawner", [KubeSpawner, SimpleLocalProcessSpawner])
def test_the_mixins_own_parts_take_the_place_of_none_of_a_spawners(spawner: type[Spawner]) -> None:
    own = {
        name for one in QuotaSpawnerMixin.__mro__ if one.__module__.startswith("hubquota") for name in vars(one)
    }
    # What every spawner has is there to be taken over.
    assert {name for name in own if hasattr(spawner, name) and not hasattr(Spawner, name)} == set()


async def test_the_form_of_the_spawner_or_the_configuration_stands_below_the_sizes(database: str) -> None:
    for spawner, own in (
        (make(database), "<p>mine</p>"),
        (make(database, options_form="<p>ours</p>"), "<p>ours</p>"),
    ):
        form = await spawner.get_options_form()
        assert "about 540 hours left" in form
        assert form.endswith(own)


async def test_what_a_form_of_its_own_asks_for_is_read_as_the_configuration_says(database: str) -> None:
    def read(form: dict[str, list[str]]) -> dict[str, Any]:
        return {"lab": form["lab"][0].upper()}

    spawner = make(database, options_form="<select name='lab'></select>", options_from_form=read)
    fields = {"size": ["small"], "_xsrf": ["x"], "lab": ["new"]}
    for asked in (spawner.run_options_from_form(fields), spawner.options_from_query(fields)):
        assert asked == {"size": "small", "lab": "NEW"}
    spawner.user_options = {"size": "small", "lab": "NEW"}
    await spawner.run_pre_spawn_hook()
    assert spawner.cpu_limit == 1


async def test_without_a_form_of_its_own_there_are_no_other_options(database: str) -> None:
    spawner = make(database, options_form="")
    spawner.user_options = spawner.run_options_from_form({"size": ["small"], "_xsrf": ["x"], "odd": ["a", "b"]})
    assert spawner.user_options == {"size": "small", "odd": ["a", "b"]}
    with pytest.raises(HTTPError, match="no option named odd"):
        await spawner.run_pre_spawn_hook()


async def test_the_account_starts_on_the_tier_of_the_users_groups(database: str) -> None:
    spawner = make(database, groups=("the-poor",))
    spawner.user_options = {"size": "small"}
    await spawner.run_pre_spawn_hook()
    ledger = Ledger(make_engine(database))
    account = ledger.account("ada")
    assert account is not None
    assert (account.tiers, account.balance) == (("poor",), to_units("0.01"))
    assert (spawner.cpu_limit, spawner.cpu_guarantee) == (1.0, 1.0)
    assert spawner.mem_limit == spawner.mem_guarantee == 4 * 1024**3


async def test_the_configurations_own_hooks_run_too(database: str) -> None:
    ran: list[str] = []

    async def before(spawner: Any) -> None:
        ran.append(f"before, {spawner.cpu_limit:g} cores")

    def after(_spawner: Any) -> None:
        ran.append("after")

    spawner = make(database, pre_spawn_hook=before, post_stop_hook=after)
    await spawner.run_pre_spawn_hook()
    await spawner.run_post_stop_hook()
    assert ran == ["before, 4 cores", "after"]
    assert Ledger(make_engine(database)).open_leases() == []


async def test_a_lease_through_a_start_a_new_spawner_and_a_stop(database: str) -> None:
    ledger = Ledger(make_engine(database))
    spawner = make(database)
    await spawner.run_pre_spawn_hook()
    (lease,) = ledger.open_leases()
    assert lease.started_at is None
    assert await spawner.start() == ("127.0.0.1", 1)
    assert ledger.open_leases()[0].started_at is not None
    state = spawner.get_state()
    assert state == {"quota_lease": lease.id}

    restarted = make(database)  # as after a restart of the hub
    restarted.load_state(state)
    assert await restarted.poll() is None
    await restarted.stop()
    await restarted.run_post_stop_hook()
    restarted.clear_state()
    assert restarted.get_state() == {}
    ended = ledger.lease(lease.id)
    assert ended is not None
    assert ended.reason == "The server was stopped."


async def test_a_start_that_the_spawner_cannot_do_leaves_nothing_open(database: str) -> None:
    ledger = Ledger(make_engine(database))
    spawner = make(database, args=["--impossible"])
    await spawner.run_pre_spawn_hook()
    with pytest.raises(RuntimeError, match="no room"):
        await spawner.start()
    await asyncio.to_thread(eventually, lambda: not ledger.open_leases(), "the end of the lease")
    assert ledger.balance("ada").available == to_units(81)


async def test_a_start_that_is_cancelled_leaves_nothing_open(database: str) -> None:
    ledger = Ledger(make_engine(database))
    spawner = make(database)
    await spawner.run_pre_spawn_hook()
    start = asyncio.create_task(spawner.start())
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await asyncio.to_thread(eventually, lambda: not ledger.open_leases(), "the end of the lease")


async def test_without_a_database_the_form_says_so_and_a_start_is_refused(tmp_path: Path) -> None:
    spawner = make(f"sqlite:///{tmp_path}/nowhere/ledger.sqlite")
    form = await spawner.get_options_form()
    assert "The accounts cannot be read at the moment, so no server can be started." in form
    assert "<input" not in form
    with pytest.raises(HTTPError) as refused:
        await spawner.run_pre_spawn_hook()
    assert (refused.value.status_code, refused.value.reason) == (503, "quota-unavailable")
    await spawner.run_post_stop_hook()


async def test_without_a_tiers_file_the_form_says_so_and_a_start_is_refused(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tiers.yaml").write_text("tiers: 7")
    spawner = make(database, tiers=tmp_path / "tiers.yaml")
    assert "tiers cannot be read, so no server can be started." in await spawner.get_options_form()
    with pytest.raises(HTTPError) as refused:
        await spawner.run_pre_spawn_hook()
    assert refused.value.status_code == 503
    assert "tiers.yaml:1: tiers: a mapping is expected, not 7" in caplog.text


async def test_an_account_on_a_tier_that_is_gone_is_told_so(database: str) -> None:
    Ledger(make_engine(database)).open_account("ada", "gone", 5, actor="test")
    spawner = make(database)
    text = "Your account is on the tier &#39;gone&#39;, which this platform no longer has"
    assert text in await spawner.get_options_form()
    with pytest.raises(HTTPError) as refused:
        await spawner.run_pre_spawn_hook()
    assert refused.value.status_code == 403
    assert text in refused.value.jupyterhub_html_message  # type: ignore[attr-defined]


async def test_a_member_chooses_the_project_that_pays(database: str) -> None:
    ledger = Ledger(make_engine(database))
    ledger.open_project("survey", "explorer", pi="ada", actor="test")
    ledger.open_project("others", "explorer", pi="eve", actor="test")
    ledger.grant("survey", to_units(7), actor="test", reason="x", key="x", tier="explorer")
    spawner = make(database, groups=("the-broke",))
    form = await spawner.get_options_form()
    assert "<strong>ada</strong>, tier Broke: 0.00 credits available" in form
    assert "<strong>survey</strong>, tier Explorer: 7.00 credits available" in form
    spawner.user_options = {"account": "survey", "size": "medium"}
    await spawner.run_pre_spawn_hook()
    (lease,) = ledger.open_leases()
    assert (lease.account, lease.person, lease.label) == ("survey", "ada", "Medium server")
    await spawner.run_post_stop_hook()
    for name in ("others", "nobody", ["survey"]):
        spawner.user_options = {"account": name}
        with pytest.raises(HTTPError) as refused:
            await spawner.run_pre_spawn_hook()
        assert (refused.value.status_code, refused.value.reason) == (403, "quota-account")
        assert "you can on: ada, survey." in refused.value.jupyterhub_message  # type: ignore[attr-defined]


async def test_the_first_allocation_lasts_for_the_term_of_its_tier(database: str) -> None:
    await make(database).run_pre_spawn_hook()
    (allocation,) = Ledger(make_engine(database)).allocations("ada")
    assert allocation.end is not None
    assert ((allocation.end - allocation.start).days, allocation.renewable) == (90, True)


def extended(tmp_path: Path, text: str) -> Path:
    """The tests' tiers file with something more in it."""
    path = tmp_path / "more.yaml"
    path.write_text(f"{(HERE / 'hub_tiers.yaml').read_text()}\n{text}\n")
    return path


async def test_whose_term_is_over_gets_a_clean_up_server_and_reads_why(database: str, tmp_path: Path) -> None:
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(81), actor="test")
    (one,) = ledger.allocations("ada")
    ledger.revoke(one.id, actor="admin", reason="Left.", key="1")
    spawner = make(database, tiers=extended(tmp_path, "clean_up: {size: small}"))
    form = await spawner.get_options_form()
    assert "Until its files are archived you can start a clean-up server" in form
    assert "free of charge" in form
    assert 'value="small"' in form
    assert 'value="medium"' not in form
    spawner.user_options = {"size": "medium"}
    with pytest.raises(HTTPError) as refused:
        await spawner.run_pre_spawn_hook()
    assert refused.value.reason == "quota-grace"
    assert "The last term of ada is over" in refused.value.jupyterhub_message
    spawner.user_options = {}
    await spawner.run_pre_spawn_hook()
    (lease,) = ledger.open_leases()
    assert (lease.label, lease.rate, lease.held) == ("Clean-up server", 0, 0)
    # Where the file has none, nothing starts, and the page says why.
    bare = make(database)
    assert "Nothing can be started on it." in await bare.get_options_form()


async def test_a_suspended_account_says_why_and_a_project_beside_it_can_be_chosen(database: str) -> None:
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(81), actor="test")
    ledger.suspend(ledger.allocations("ada")[0].id, actor="admin", reason="Mining coins.", key="1")
    spawner = make(database)
    form = await spawner.get_options_form()
    assert "Mining coins." in form
    assert "radio" not in form
    with pytest.raises(HTTPError) as refused:
        await spawner.run_pre_spawn_hook()
    assert refused.value.reason == "quota-suspended"
    assert "Mining coins." in refused.value.jupyterhub_message
    ledger.open_project("survey", "explorer", pi="ada", actor="admin")
    ledger.grant("survey", to_units(5), actor="admin", reason="x", key="2")
    form = await spawner.get_options_form()
    assert "Mining coins." in form
    assert 'value="small"' in form
    spawner.user_options = {"account": "survey", "size": "small"}
    await spawner.run_pre_spawn_hook()


async def test_an_override_and_the_limit_on_servers_count_at_a_start(database: str) -> None:
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(81), actor="test")
    until = datetime.now(UTC) + timedelta(hours=1)
    limits = Overridden(sizes=("large",), servers=1)
    ledger.give_override("ada", limits, until, actor="admin", reason="A school.", key="1")
    spawner = make(database)
    assert 'value="large"' in await spawner.get_options_form()
    spawner.user_options = {"size": "large"}
    await spawner.run_pre_spawn_hook()
    second = make(database)
    second.orm_spawner.name = "second"
    with pytest.raises(HTTPError) as refused:
        await second.run_pre_spawn_hook()
    assert "one person may run 1 at once" in refused.value.jupyterhub_message


async def test_members_of_a_hub_group_draw_on_the_project_of_its_name(database: str, tmp_path: Path) -> None:
    rules = extended(tmp_path, "projects: {groups: [{match: roman-*, tier: explorer}]}")
    spawner = make(database, groups=("roman-a",), tiers=rules)
    assert "roman-a" in await spawner.get_options_form()
    ledger = Ledger(make_engine(database))
    ledger.grant("roman-a", to_units(5), actor="admin", reason="x", key="1")
    spawner.user_options = {"account": "roman-a", "size": "small"}
    await spawner.run_pre_spawn_hook()
    left = make(database, tiers=rules)
    left.user_options = {"account": "roman-a", "size": "small"}
    with pytest.raises(HTTPError) as refused:
        await left.run_pre_spawn_hook()
    assert "You cannot draw on an account 'roman-a'" in refused.value.jupyterhub_message


class PodSpawner(OldSpawner):
    """Stands for KubeSpawner, which needs a cluster: it knows a pod, and clears it away when it finds it dead.

    The names and the shape of the pod are those of KubeSpawner 7 and of Kubernetes' API.
    """

    namespace = "hub"
    pod_name = "jupyter-ada"
    pod_reflector = SimpleNamespace(pods={})

    async def poll(self) -> int | None:
        if self.pod_reflector.pods:
            await self.stop(now=True)
            self.pod_reflector.pods.clear()
            return 137
        return None


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        ("OOMKilled", "out-of-memory", "The server needed more memory than its size has"),
        ("Error", "ended", "The server ended by itself"),
    ],
)
async def test_what_the_machinery_says_of_a_dead_server_is_recorded(
    database: str, reason: str, kind: str, text: str
) -> None:
    class QuotaPodSpawner(QuotaSpawnerMixin, PodSpawner):  # type: ignore[misc]
        pass

    given = make(database)
    spawner = QuotaPodSpawner(config=given.config, user=given.user, orm_spawner=given.orm_spawner, user_options={})
    await spawner.run_pre_spawn_hook()
    await spawner.start()
    spawner.add_poll_callback(lambda: None)  # as the hub does once the server answers
    assert await spawner.poll() is None
    spawner.pod_reflector.pods["hub/jupyter-ada"] = {
        "status": {"containerStatuses": [{"name": "notebook", "state": {"terminated": {"reason": reason}}}]}
    }
    assert await spawner.poll() == 137
    await spawner.run_post_stop_hook()
    ended = Ledger(make_engine(database)).last_end("ada", "server")
    assert ended is not None
    assert ended.end_kind == kind
    assert (ended.reason or "").startswith(text)
    # It is not taken for a stop that somebody asked for, and is said on the next form.
    assert text in await make(database).get_options_form()


def in_grace(database: str) -> Ledger:
    """A ledger in which Ada's last term is over."""
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(81), actor="test")
    ledger.revoke(ledger.allocations("ada")[0].id, actor="admin", reason="Left.", key="1")
    return ledger


@pytest.fixture
def clean_up(tmp_path: Path) -> Path:
    return extended(tmp_path, "clean_up: {size: small}\nwhen_down: {starts: 9, minutes: 5}")


async def test_a_clean_up_server_is_held_to_reading_and_deleting(
    database: str, clean_up: Path, tmp_path: Path
) -> None:
    ledger = in_grace(database)
    home = tmp_path / "home"
    (home / "folder").mkdir(parents=True)
    (home / "folder" / "file").write_text("data")
    spawner = make(database, tiers=clean_up, cmd=["sh", "-c"], quota_clean_up_python=sys.executable)
    await spawner.run_pre_spawn_hook()

    def run(script: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(home)}
        return subprocess.run([*spawner.cmd, script], env=environment, capture_output=True, text=True, check=False)

    for script in (
        "echo > ~/new",
        "echo more >> ~/folder/file",
        "mv ~/folder ~/other",
        "mkdir ~/new",
        "touch /var/x",
    ):
        done = run(script)
        assert done.returncode, script
        assert "ermission denied" in done.stderr, done.stderr
    assert run("cat ~/folder/file; echo of its own > $TMPDIR/x; cat $TMPDIR/x").stdout == "dataof its own\n"
    assert run("rm -r ~/folder").returncode == 0
    assert list(home.iterdir()) == []
    # What an earlier one left behind goes with the next one.
    first, second = Path(run("echo $TMPDIR").stdout.strip()), Path(run("echo $TMPDIR").stdout.strip())
    assert (first.exists(), second.exists(), second.is_relative_to(home)) == (False, True, False)
    shutil.rmtree(second.parent)
    # The same spawner starts the next server, which is no such server.
    await spawner.run_post_stop_hook()
    assert spawner.cmd == ["sh", "-c"]
    ledger.grant("ada", to_units(5), actor="admin", reason="x", key="2")
    await spawner.run_pre_spawn_hook()
    assert spawner.cmd == ["sh", "-c"]


async def test_where_nothing_keeps_a_clean_up_server_from_writing_there_is_none(
    database: str, clean_up: Path
) -> None:
    ledger = in_grace(database)
    # Processes of this machine have no volumes to mount.
    spawner = make(database, tiers=clean_up, quota_clean_up_home="read-only")
    with pytest.raises(HTTPError) as refused:
        await spawner.run_pre_spawn_hook()
    assert "this hub has no way to start a server that leaves them so" in refused.value.jupyterhub_message
    await spawner.run_post_stop_hook()
    assert not ledger.open_leases()
    # Unless whoever runs the hub says so.
    await make(database, tiers=clean_up, quota_clean_up_home="writable").run_pre_spawn_hook()


@pytest.fixture
def no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KubeSpawner makes a pod's manifest without asking a cluster; it only wants to read where one would be."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    # Its client reads the variable KUBECONFIG once in a process, which another test may have had it do.
    where = "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(where, str(tmp_path / "kubeconfig"))


@pytest.mark.usefixtures("no_cluster")
async def test_a_profile_on_kubernetes_is_chosen_below_the_size_and_cannot_change_it(database: str) -> None:
    from hubquota.hub.kubernetes import QuotaKubeSpawner

    given = make(database)
    given.config.KubeSpawner.profile_list = [
        {"display_name": "Python", "slug": "python", "default": True},
        {
            "display_name": "Julia",
            "slug": "julia",
            "kubespawner_override": {"image": "julia:1", "cpu_limit": 32, "mem_limit": "128G"},
        },
    ]
    user = SimpleNamespace(id=1, name="ada", url="/user/ada/", orm_user=given.user.orm_user)
    spawner = QuotaKubeSpawner(_mock=True, config=given.config, user=user, user_options={})
    form = await spawner.get_options_form()
    assert form.index("about 540 hours left") < form.index("Julia")
    spawner.user_options = spawner.run_options_from_form({"size": ["small"], "profile": ["julia"]})
    assert spawner.user_options == {"size": "small", "profile": "julia"}
    await spawner.run_pre_spawn_hook()
    await spawner.load_user_options()  # as its start does
    (container,) = (await spawner.get_pod_manifest()).to_dict()["spec"]["containers"]
    assert container["image"] == "julia:1"
    for amounts in (container["resources"]["limits"], container["resources"]["requests"]):
        assert (float(amounts["cpu"]), int(amounts["memory"])) == (1, 4 * 1024**3)


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("command", [[], ["jupyterhub-singleuser"]])
@pytest.mark.parametrize("mapping", [False, True])
async def test_a_clean_up_server_on_kubernetes_cannot_write_into_its_volumes(
    database: str, clean_up: Path, command: list[str], mapping: bool
) -> None:
    from hubquota.hub.kubernetes import QuotaKubeSpawner

    in_grace(database)
    given = make(database, tiers=clean_up)
    mounts = [{"name": "home", "mountPath": "/home/jovyan", "subPath": "ada"}]
    given.config.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-ada"}}]
    given.config.KubeSpawner.volume_mounts = {one["name"]: one for one in mounts} if mapping else mounts
    given.config.KubeSpawner.cmd = command or None
    user = SimpleNamespace(id=1, name="ada", url="/user/ada/", orm_user=given.user.orm_user)
    spawner = QuotaKubeSpawner(_mock=True, config=given.config, user=user, user_options={})
    can_delete = bool(command)
    assert ("and delete files" in await spawner.get_options_form()) is can_delete
    await spawner.run_pre_spawn_hook()
    (container,) = (await spawner.get_pod_manifest()).to_dict()["spec"]["containers"]
    (mount,) = container["volume_mounts"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    if can_delete:
        assert container["args"][:3] == ["python3", "-I", "-c"]
        assert "jupyterhub-singleuser" in container["args"]
        assert not mount.get("read_only")
    else:
        assert mount["read_only"] is True
        assert environment["JUPYTER_RUNTIME_DIR"].startswith("/tmp/")
    await spawner.run_post_stop_hook()
    plain = (await spawner.get_pod_manifest()).to_dict()["spec"]["containers"][0]
    assert not plain["volume_mounts"][0].get("read_only")
    assert "JUPYTER_RUNTIME_DIR" not in {one["name"] for one in plain["env"]}


#: Where no cluster is.
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""


async def test_a_home_that_a_project_keeps_is_written_in_its_servers_and_not_purged(
    database: str, clean_up: Path, tmp_path: Path
) -> None:
    clock = Clock()
    clock.now = datetime.now(UTC) - timedelta(days=60)
    engine = make_engine(database)
    ledger = Ledger(engine, clock)
    ledger.open_account("ada", "explorer", to_units(81), actor="test")
    ledger.open_project("survey", "explorer", pi="ada", actor="test")
    survey = ledger.grant("survey", to_units(81), actor="test", reason="x", key="x", tier="explorer").id
    ledger.revoke(ledger.allocations("ada")[0].id, actor="admin", reason="Over.", key="1")
    ledger.sweep()
    clock.turn(60 * 86_400)
    fill(tmp_path / "homes" / "ada")
    purge = make_purge(engine, clock, make_settings(tmp_path))

    async def command(account: str) -> list[str]:
        spawner = make(database, tiers=clean_up, cmd=["notebook"])
        spawner.user_options = {"account": account}
        await spawner.run_pre_spawn_hook()
        found: list[str] = spawner.cmd
        await spawner.run_post_stop_hook()
        return found

    # Their own account is long past its grace. The project's server starts as ever, beside the clean-up server.
    assert await command("survey") == ["notebook"]
    assert len(await command("ada")) > 1
    assert not purge.plan(by=ROOT).found
    # It was the project alone that kept the home.
    ledger.revoke(survey, actor="admin", reason="Over.", key="2")
    ledger.sweep()
    clock.turn(31 * 86_400)
    assert [found.account for found in purge.plan(by=ROOT).found] == ["ada"]
    with pytest.raises(HTTPError):
        await command("survey")


# What the ledger said last, while it cannot be asked ---------------------------------------------------


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Keep everybody else from writing to the ledger, so that it does not answer in time."""
    connection = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@pytest.fixture
def allowing(database: str, clean_up: Path, tmp_path: Path) -> Callable[..., Any]:
    """Makes spawners that may start a little without the ledger; each one is of a hub that has just started."""

    def spawner(**options: str) -> Any:
        allowance_for.cache_clear()
        file = str(tmp_path / "allowance.sqlite")
        made = make(
            database,
            tiers=clean_up,
            quota_when_down="allowance",
            quota_allowance_file=file,
            quota_deadline=0.5,
            quota_clean_up_home="writable",
        )
        made.user_options = options
        return made

    return spawner


async def refused_start(spawner: Any) -> HTTPError:
    with pytest.raises(HTTPError) as refused:
        await spawner.run_pre_spawn_hook()
    return refused.value


async def test_who_is_suspended_starts_nothing_while_the_ledger_is_down(
    database: str, allowing: Callable[..., Any]
) -> None:
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", to_units(81), actor="test")
    one = ledger.allocations("ada")[0].id
    ledger.suspend(one, actor="admin", reason="Mining coins.", key="1")
    assert (await refused_start(allowing())).reason == "quota-suspended"
    with locked(database):
        refused = await refused_start(allowing())
    assert (refused.status_code, refused.reason) == (403, "quota-suspended")
    assert "The accounts cannot be read at the moment. When they could be read last" in refused.jupyterhub_message
    assert "Mining coins." in refused.jupyterhub_message
    # With the next start that the ledger admits, it is over.
    ledger.resume(one, actor="admin", reason="x", key="2")
    spawner = allowing()
    await spawner.run_pre_spawn_hook()
    await spawner.run_post_stop_hook()
    with locked(database):
        await allowing(size="medium").run_pre_spawn_hook()


async def test_who_is_in_grace_gets_the_clean_up_server_while_the_ledger_is_down(
    database: str, allowing: Callable[..., Any]
) -> None:
    in_grace(database)
    # The form is enough to know it.
    await allowing().get_options_form()
    with locked(database):
        refused = await refused_start(allowing(size="medium"))
        assert "The last term of ada is over" in refused.jupyterhub_message
        spawner = allowing()
        await spawner.run_pre_spawn_hook()
        assert (spawner.cpu_limit, spawner._allowed.label, spawner._allowed.rate) == (1.0, "Clean-up server", 0)
    # A size that is none of a clean-up server's says no more than was known, nor does such a server.
    assert (await refused_start(allowing(size="medium"))).reason == "quota-grace"
    spawner = allowing()
    await spawner.run_pre_spawn_hook()
    await spawner.run_post_stop_hook()
    with locked(database):
        assert (await refused_start(allowing(size="medium"))).reason == "quota-grace"


async def test_who_had_no_credits_gets_none_while_the_ledger_is_down(
    database: str, allowing: Callable[..., Any]
) -> None:
    ledger = Ledger(make_engine(database))
    ledger.open_account("ada", "explorer", 1, actor="test")
    assert (await refused_start(allowing())).reason == "quota-budget"
    # The form says nothing of the balance; and what was wrong with a start says nothing of the account.
    await allowing().get_options_form()
    assert (await refused_start(allowing(size="huge"))).reason == "quota-size"
    with locked(database):
        assert (await refused_start(allowing())).reason == "quota-budget"
    ledger.grant("ada", to_units(5), actor="admin", reason="x", key="2")
    spawner = allowing()
    await spawner.run_pre_spawn_hook()
    await spawner.run_post_stop_hook()
    assert (await refused_start(allowing(size="huge"))).reason == "quota-size"
    with locked(database):
        await allowing().run_pre_spawn_hook()


async def test_where_it_cannot_be_read_what_the_ledger_said_nothing_starts(
    database: str, allowing: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "allowance.sqlite").write_text("This is no database, but long enough to look like one." * 99)
    with locked(database):
        refused = await refused_start(allowing())
    assert refused.status_code == 503
    assert "the hub cannot note what it starts" in refused.jupyterhub_message
