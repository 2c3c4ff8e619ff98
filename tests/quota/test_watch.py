"""The watch beside a real hub, by a clock that is ahead of the hub's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hubquota.hub.api import HubApi
from hubquota.hub.keys import server_key, server_of
from hubquota.hub.watch import Watch
from hubquota.models.ledger import Lease
from hubquota.models.money import to_units
from hubquota.models.overrides import Overridden
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from prometheus_client.parser import text_string_to_metric_families

from tests.quota.support import Hub, eventually
from tests.support.ports import free_port

RATE = 40_000


def watch(
    hub: Hub, *, ahead: timedelta = timedelta(0), token: str = "a-token-of-the-watch", page: int = 200
) -> Watch:
    def clock() -> datetime:
        return datetime.now(UTC) + ahead

    ledger = Ledger(make_engine(hub.database_url), clock)
    return Watch(ledger, TiersFile(hub.tiers_file), HubApi(hub.api(token), page=page), clock)


def running(hub: Hub, user: str) -> Lease:
    hub.ready(user, size="small")
    lease = hub.ledger.open_lease(server_key(user, ""))
    assert lease is not None
    return lease


def ended(hub: Hub, lease: Lease) -> Lease:
    def look() -> Lease | None:
        found = hub.ledger.lease(lease.id)
        return found if found and not found.is_open else None

    return eventually(look, f"the end of lease {lease.id}")


@pytest.fixture(autouse=True)
def nothing_runs(hub: Hub) -> Iterator[None]:
    yield
    for user in hub.api().get("users").json():
        if user["servers"]:
            hub.stop(user["name"])
    for lease in hub.ledger.open_leases():
        hub.ledger.close(lease.id, reason="The test is over.")


def test_what_runs_is_seen_on_every_page_of_the_hubs_list(hub: Hub) -> None:
    leases = [running(hub, user) for user in ("ada", "bob", "eve")]
    done = watch(hub, ahead=timedelta(minutes=5), page=1).pass_once()
    assert (done.seen, done.closed, done.stopped) == (3, 0, 0)
    for lease in leases:
        seen = hub.ledger.lease(lease.id)
        assert seen is not None
        assert seen.seen_at is not None
        assert seen.seen_at > datetime.now(UTC) + timedelta(minutes=4)


def test_what_the_hub_only_believes_to_run_is_not_charged(hub: Hub) -> None:
    lease = running(hub, "ada")
    eventually(lambda: (found := hub.ledger.lease(lease.id)) and found.seen_at, "a look of the hub's own")
    # The hub's list would say so of one that has died since its last look, too.
    assert watch(hub, ahead=timedelta(minutes=1)).pass_once().seen == 1
    seen = hub.ledger.lease(lease.id)
    assert seen is not None
    assert seen.last_alive is not None
    assert seen.last_alive < datetime.now(UTC) + timedelta(seconds=5)


def test_a_lease_without_a_server_is_closed_when_it_was_last_seen(hub: Hub) -> None:
    hub.api().post("users/stopped")
    for name in ("stopped", "unknown-to-the-hub"):
        hub.ledger.open_account(name, "explorer", to_units(81), actor="test")
        for server in ("ran", "waits"):
            hub.ledger.admit(name, kind="server", key=server_key(name, server), label="Small server", rate=RATE)
        lease = hub.ledger.open_lease(server_key(name, "ran"))
        assert lease is not None
        hub.ledger.begin(lease.id)
    worker = hub.ledger.admit("stopped", kind="dask-worker", key="dask-worker:1", label="Worker", rate=RATE)
    hub.ledger.begin(worker.id)

    done = watch(hub, ahead=timedelta(hours=3)).pass_once()
    assert done.closed == 4
    assert [lease.kind for lease in hub.ledger.open_leases()] == ["dask-worker"]
    for name in ("stopped", "unknown-to-the-hub"):
        assert {lease.charged for lease in hub.ledger.statement(name).ended} == {0}
    assert hub.ledger.verify() == []


def test_what_runs_gets_its_next_slice_and_is_charged_for_the_last(hub: Hub) -> None:
    lease = running(hub, "goes-on")
    assert lease.held == RATE * 600
    done = watch(hub, ahead=timedelta(minutes=5)).pass_once()
    assert (done.extended, done.stopped) == (1, 0)
    extended = hub.ledger.lease(lease.id)
    assert extended is not None
    assert RATE * 3600 <= extended.held <= RATE * 3610
    assert extended.charged >= RATE * 290
    assert hub.ledger.verify() == []


def test_what_nothing_can_pay_for_any_more_is_stopped_with_the_reason(hub: Hub) -> None:
    hub.ledger.open_account("spent", "explorer", RATE * 700, actor="test")
    lease = running(hub, "spent")
    assert watch(hub, ahead=timedelta(seconds=650)).pass_once().stopped == 0
    assert watch(hub, ahead=timedelta(seconds=720)).pass_once().stopped == 1
    over = ended(hub, lease)
    assert (over.reason, over.end_kind) == ("The credits that paid for it are used up.", "budget")
    # The server was asked to end, and had the time to save.
    assert (hub.folder / "spent.saved").exists()


def test_the_moment_at_which_the_credits_end_is_computed(hub: Hub) -> None:
    hub.ledger.open_account("exact", "explorer", RATE * 605, actor="test")
    lease = running(hub, "exact")
    assert lease.started_at is not None
    # A few seconds before: the watch wakes by itself, with an interval that is much too long.
    before = timedelta(seconds=601) - (datetime.now(UTC) - lease.started_at)
    tested = watch(hub, ahead=before)
    done = tested.pass_once()
    assert done.next_at is not None
    assert done.next_at == lease.started_at + timedelta(seconds=605)
    assert 1 <= tested._pause(done.next_at, 3600) <= 4
    stop = threading.Event()
    thread = threading.Thread(target=tested.run, args=(stop, 3600))
    thread.start()
    try:
        over = ended(hub, lease)
    finally:
        stop.set()
        thread.join()
    assert over.end_kind == "budget"


def test_warnings_come_once_before_a_stop_and_again_after_new_credits(hub: Hub) -> None:
    hub.ledger.open_account("warned", "explorer", RATE * 1500, actor="test")
    lease = running(hub, "warned")

    def told_at(seconds: int) -> list[str]:
        before = {notice.key for notice in hub.ledger.notices("warned")}
        done = watch(hub, ahead=timedelta(seconds=seconds)).pass_once()
        new = [notice for notice in hub.ledger.notices("warned") if notice.key not in before]
        assert (done.warned, done.stopped) == (len(new), 0)
        return [notice.subject for notice in new]

    assert told_at(0) == ["Your Small server will be stopped in 24 minutes"]
    assert told_at(30) == []
    assert told_at(1000) == ["Your Small server will be stopped in 8 minutes"]
    assert "The credits of warned that pay for it end then." in hub.ledger.notices("warned")[0].text
    assert told_at(1200) == ["Not more than 25 percent of the credits of warned are left"]
    assert told_at(1400) == ["Not more than 10 percent of the credits of warned are left"]
    (allocation,) = hub.ledger.allocations("warned")
    # The series of warnings is known by the second in which credits came.
    eventually(lambda: datetime.now(UTC) - allocation.start > timedelta(seconds=1), "another second")
    hub.ledger.supplement(allocation.id, RATE * 600, actor="test", reason="More.", key="more")
    assert told_at(1400) == ["Your Small server will be stopped in 11 minutes"]
    assert len(told_at(1600)) == 2
    assert told_at(1610) == []
    assert watch(hub, ahead=timedelta(seconds=2120)).pass_once().stopped == 1
    assert ended(hub, lease).end_kind == "budget"


def test_a_warning_comes_before_an_idle_stop_and_the_longest_session(hub: Hub) -> None:
    lease = running(hub, "sleepy")
    assert watch(hub, ahead=timedelta(minutes=45)).pass_once().warned == 0
    assert watch(hub, ahead=timedelta(minutes=52)).pass_once().warned == 1
    (notice,) = hub.ledger.notices("sleepy")
    assert "any activity keeps it running" in notice.text
    text = hub.tiers_file.read_text()
    hub.tiers_file.write_text(text.replace("idle_stop_minutes: 60", "idle_stop_minutes: 6000"))
    try:
        assert watch(hub, ahead=timedelta(hours=23, minutes=30)).pass_once().warned == 1
    finally:
        hub.tiers_file.write_text(text)
    assert "the longest that the tier Explorer allows" in hub.ledger.notices("sleepy")[0].text
    assert hub.ledger.lease(lease.id).reason is None  # type: ignore[union-attr]


def test_whoever_runs_other_things_is_told_to_stop_them(hub: Hub) -> None:
    hub.ledger.open_account("cluster", "explorer", RATE * 900, actor="test")
    worker = hub.ledger.admit("cluster", kind="dask-worker", key="dask-worker:7", label="Worker", rate=RATE)
    hub.ledger.begin(worker.id)
    assert hub.ledger.to_stop("dask-worker") == []
    ahead = watch(hub, ahead=timedelta(seconds=910))
    ahead.pass_once()
    (told,) = hub.ledger.to_stop("dask-worker")
    assert (told.id, told.end_kind) == (worker.id, "budget")
    # With new credits it may go on.
    (allocation,) = hub.ledger.allocations("cluster")
    hub.ledger.supplement(allocation.id, to_units(1), actor="test", reason="More.", key="cluster")
    ahead.pass_once()
    assert hub.ledger.to_stop("dask-worker") == []
    hub.ledger.announce_stop(worker.id, "The room is closed.", "admin")
    assert [lease.reason for lease in hub.ledger.to_stop("dask-worker")] == ["The room is closed."]
    closed = hub.ledger.close(worker.id, reason="x", kind="stopped")
    assert (closed.reason, closed.end_kind) == ("The room is closed.", "admin")


def test_what_dates_have_decided_is_written_down(hub: Hub) -> None:
    hub.ledger.open_account("brief", "explorer", 5, actor="test", term_days=1)
    done = watch(hub, ahead=timedelta(days=2)).pass_once()
    assert done.swept.lapsed >= 1
    assert hub.ledger.balance("brief").posted == 0


def test_an_idle_server_is_stopped_with_the_reason(hub: Hub) -> None:
    lease = running(hub, "idle")
    assert watch(hub, ahead=timedelta(minutes=59)).pass_once().stopped == 0
    assert watch(hub, ahead=timedelta(minutes=61)).pass_once().stopped == 1
    assert ended(hub, lease).reason == (
        "It was without activity for 1 hour, after which the tier Explorer stops a server."
    )


def test_a_server_that_ran_too_long_is_stopped_although_it_is_active(hub: Hub) -> None:
    lease = running(hub, "marathon")
    text = hub.tiers_file.read_text()
    hub.tiers_file.write_text(text.replace("idle_stop_minutes: 60", "idle_stop_minutes: 6000"))
    try:
        assert watch(hub, ahead=timedelta(hours=23)).pass_once().stopped == 0
        assert watch(hub, ahead=timedelta(hours=25)).pass_once().stopped == 1
    finally:
        hub.tiers_file.write_text(text)
    assert ended(hub, lease).reason == "It ran for 24 hours, the longest that the tier Explorer allows."


def test_a_stop_that_the_hub_does_not_allow_leaves_no_reason_behind(hub: Hub) -> None:
    lease = running(hub, "kept")
    done = watch(hub, ahead=timedelta(hours=2), token="a-token-that-only-reads").pass_once()
    assert (done.stopped, done.failed) == (0, 1)
    hub.stop("kept")
    assert ended(hub, lease).reason == "The server was stopped."


def test_a_begin_that_the_hub_could_not_tell_counts_from_now(hub: Hub) -> None:
    lost = running(hub, "unbegun")
    hub.ledger.close(lost.id, reason="The test takes its place.")
    lease = hub.ledger.admit("unbegun", kind="server", key=lost.key, label="Small server", rate=RATE)
    assert watch(hub, ahead=timedelta(seconds=50)).pass_once().begun == 0
    assert watch(hub, ahead=timedelta(seconds=70)).pass_once().begun == 1
    begun = hub.ledger.lease(lease.id)
    assert begun is not None
    assert begun.started_at is not None
    assert begun.started_at > lease.admitted_at + timedelta(seconds=60)


def test_a_server_without_a_lease_is_adopted_from_its_real_start(hub: Hub) -> None:
    hub.api().post("users/free")
    # As one that was started before the ledger was put in: nothing in the ledger knows it.
    (hub.folder / "without-the-ledger").touch()
    try:
        model = hub.ready("free", size="small")
    finally:
        (hub.folder / "without-the-ledger").unlink()
    assert hub.ledger.open_lease(server_key("free", "")) is None
    hub.ledger.open_account("free", "explorer", to_units(81), actor="test")
    done = watch(hub, ahead=timedelta(minutes=5)).pass_once()
    assert (done.adopted, done.stopped) == (1, 0)
    lease = hub.ledger.open_lease(server_key("free", ""))
    assert lease is not None
    assert (lease.label, lease.rate, lease.person) == ("Small server", RATE, "free")
    started = datetime.fromisoformat(model["started"]).replace(microsecond=0)
    assert lease.started_at == started
    # It may be stopped like any other, and is charged like any other.
    assert watch(hub, ahead=timedelta(minutes=65)).pass_once().stopped == 1
    assert ended(hub, lease).end_kind == "idle"
    assert hub.ledger.verify() == []


def test_a_server_whose_lease_was_lost_is_not_charged_twice_for_a_second(hub: Hub) -> None:
    lease = running(hub, "lost")
    eventually(lambda: hub.ledger.balance("lost").accrued, "a second of running")
    closed = hub.ledger.close(lease.id, reason="The test takes it away.")
    assert watch(hub, ahead=timedelta(minutes=5)).pass_once().adopted == 1
    again = hub.ledger.open_lease(lease.key)
    assert again is not None
    assert again.started_at == closed.ended_at
    assert watch(hub, ahead=timedelta(minutes=6)).pass_once().adopted == 0
    hub.stop("lost")
    assert ended(hub, again).end_kind == "stopped"
    assert hub.ledger.verify() == []


def test_an_adopted_server_that_nobody_can_pay_for_is_stopped(hub: Hub) -> None:
    lease = running(hub, "poor")
    hub.ledger.close(lease.id, reason="The test takes it away.")
    hub.ledger.correct("poor", -to_units(81), actor="test", reason="All of it.", key="poor")
    done = watch(hub, ahead=timedelta(minutes=5)).pass_once()
    assert (done.adopted, done.stopped) == (1, 1)
    again = eventually(lambda: _other(hub.last_lease("poor"), lease), "its end")
    assert again.end_kind == "budget"
    assert hub.ledger.verify() == []


def test_a_list_that_misses_a_server_does_not_close_its_lease(hub: Hub) -> None:
    lease = running(hub, "missed")

    class Forgetful(HubApi):
        def servers(self) -> Iterator[object]:  # type: ignore[override]
            return iter(())

    tested = watch(hub)
    tested._hub = Forgetful(hub.api("a-token-of-the-watch"))
    assert tested.pass_once().closed == 0
    kept = hub.ledger.open_lease(lease.key)
    assert kept is not None
    assert (kept.id, kept.started_at) == (lease.id, lease.started_at)


def test_the_watch_goes_on_when_the_hub_does_not_answer(hub: Hub) -> None:
    ghost = _ghost(hub)
    asked = threading.Event()
    answers = iter([httpx.Response(503)])

    def hub_is_back(request: httpx.Request) -> httpx.Response:
        asked.set()
        found = next(answers, None)
        return found or hub.api("a-token-of-the-watch").get(
            str(request.url.raw_path, "ascii").lstrip("/"), headers={"Accept": request.headers["Accept"]}
        )

    client = httpx.Client(base_url="http://hub/", transport=httpx.MockTransport(hub_is_back))
    tested = Watch(Ledger(make_engine(hub.database_url)), TiersFile(hub.tiers_file), HubApi(client))
    stop = threading.Event()
    thread = threading.Thread(target=tested.run, args=(stop, 0.1))
    thread.start()
    try:
        ended(hub, ghost)
    finally:
        stop.set()
        thread.join()
    assert asked.is_set()


def test_the_command_runs_until_it_is_ended(hub: Hub) -> None:
    ghost = _ghost(hub)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "JUPYTERHUB_API_URL": f"{hub.url}/hub/api",
        "JUPYTERHUB_API_TOKEN": "a-token-of-the-watch",
        "HUBQUOTA_DATABASE_URL": hub.database_url,
        "HUBQUOTA_TIERS": str(hub.tiers_file),
    }
    command = [sys.executable, "-m", "hubquota", "watch", "--interval", "0.2"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        ended(hub, ghost)
    finally:
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 0, errors
    assert "closed=1" in errors


def _other(found: Lease | None, than: Lease) -> Lease | None:
    return found if found is not None and found.id != than.id else None


def _ghost(hub: Hub) -> Lease:
    hub.ledger.open_account("ghost", "explorer", to_units(81), actor="test")
    key = server_key("ghost", "")
    return hub.ledger.admit("ghost", kind="server", key=key, label="Small server", rate=RATE)


def test_the_watch_leaves_the_servers_of_another_hub_on_the_ledger_alone(hub: Hub) -> None:
    hub.ledger.open_account("ada", "explorer", to_units(81), actor="test")
    key = server_key("ada", "", "east")
    far = hub.ledger.admit("ada", kind="server", key=key, label="Small server", rate=RATE)
    hub.ledger.begin(far.id)
    assert watch(hub).pass_once().closed == 0
    near = running(hub, "ada")
    assert watch(hub, ahead=timedelta(hours=30)).pass_once().stopped == 1
    assert ended(hub, near).end_kind == "idle"
    (left,) = hub.ledger.open_leases(person="ada")
    assert (left.key, server_of(left.key, "east")) == (key, ("ada", ""))


def test_keys_and_names_belong_together() -> None:
    assert server_of(server_key("ada", "")) == ("ada", "")
    assert server_of(server_key("a:b", "c/d")) == ("a:b", "c/d")
    with pytest.raises(ValueError, match="not the key of a server"):
        server_of("dask-worker:1")


def test_an_override_lets_a_server_run_longer_until_it_is_withdrawn(hub: Hub) -> None:
    lease = running(hub, "ada")
    given = hub.ledger.give_override(
        "ada",
        Overridden(longest_session_hours=48, idle_stop_minutes=10_000),
        datetime.now(UTC) + timedelta(days=3),
        actor="admin",
        reason="A long reduction.",
        key="longer",
    )
    late = watch(hub, ahead=timedelta(hours=30))
    assert late.pass_once().stopped == 0
    hub.ledger.withdraw_override(given.id, actor="admin", reason="It is done.")
    assert late.pass_once().stopped == 1
    # Both limits are back; it came to the one without activity first.
    assert "1 hour, after which" in (ended(hub, lease).reason or "")


def test_a_server_is_stopped_where_its_members_cap_is_used_up(hub: Hub) -> None:
    hub.api().post("users/ada")
    hub.ledger.open_project("survey", "explorer", pi="eve", actor="admin")
    hub.ledger.set_member("survey", "ada", "member", actor="eve")
    hub.ledger.grant("survey", to_units(50), actor="admin", reason="A survey.", key="survey")
    hub.ledger.set_cap("survey", "ada", credits=to_units("0.02"), actor="eve", reason="A share each.")
    hub.ready("ada", size="small", account="survey")
    (lease,) = hub.ledger.open_leases(person="ada")
    assert watch(hub, ahead=timedelta(minutes=15)).pass_once().stopped == 0
    assert watch(hub, ahead=timedelta(minutes=31)).pass_once().stopped == 1
    assert ended(hub, lease).reason == "ada's cap on the project survey is used up."


def test_the_command_serves_numbers_for_prometheus(hub: Hub) -> None:
    hub.ledger.open_account("rae", "explorer", to_units(81), actor="test")
    ghost, port = _ghost(hub), free_port()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "JUPYTERHUB_API_URL": f"{hub.url}/hub/api",
        "JUPYTERHUB_API_TOKEN": "a-token-of-the-watch",
        "HUBQUOTA_DATABASE_URL": hub.database_url,
        "HUBQUOTA_TIERS": str(hub.tiers_file),
    }
    command = [sys.executable, "-m", "hubquota", "watch", "--interval", "0.2", "--metrics-port", str(port)]
    taken = [*command, "--per-account"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        ended(hub, ghost)
        text = eventually(lambda: _scraped(port), "a pass that came through")
        second = subprocess.run(taken, env=environment, capture_output=True, text=True, timeout=60)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["hubquota_watch_passes_total", "done"] >= 1
    assert found["hubquota_watch_actions_total", "closed"] == 1
    assert found["hubquota_watch_last_pass_timestamp_seconds",] > 1_700_000_000
    assert found["hubquota_ledger_up",] == 1
    assert found["hubquota_credits_available", "explorer"] >= 81
    assert second.returncode == 1
    assert "Address already in use" in second.stderr


def _scraped(port: int) -> str | None:
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text
    except httpx.HTTPError:
        return None
    return text if 'hubquota_watch_actions_total{action="closed"} 1.0' in text else None


def test_a_server_that_nobody_can_be_charged_for_keeps_no_other_from_being_looked_at(hub: Hub) -> None:
    hub.api().post("users/nobodys")
    (hub.folder / "without-the-ledger").touch()
    try:
        hub.ready("nobodys", size="small")
    finally:
        (hub.folder / "without-the-ledger").unlink()
    hub.ledger.open_project("nobodys", "explorer", pi="eve", actor="test")
    lease = running(hub, "idle")
    done = watch(hub, ahead=timedelta(minutes=61)).pass_once()
    assert (done.adopted, done.failed, done.stopped) == (0, 1, 1)
    assert ended(hub, lease).end_kind == "idle"


def test_a_token_that_may_not_read_what_runs_closes_no_lease(hub: Hub) -> None:
    lease = running(hub, "ada")
    with pytest.raises(httpx.HTTPError, match="scope read:servers"):
        watch(hub, token="a-token-that-reads-users").pass_once()
    kept = hub.ledger.lease(lease.id)
    assert kept is not None
    assert kept.is_open


def test_servers_are_stopped_at_the_same_time(hub: Hub) -> None:
    leases = [running(hub, name) for name in ("ada", "bob")]
    together = threading.Barrier(2)

    def forward(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            together.wait(30)  # fails where one stop waits for the end of the other
        path = str(request.url.raw_path, "ascii").lstrip("/")
        accept = {"Accept": request.headers["Accept"]}
        return hub.api("a-token-of-the-watch").request(request.method, path, headers=accept)

    client = httpx.Client(base_url="http://hub/", transport=httpx.MockTransport(forward))
    late = watch(hub, ahead=timedelta(hours=2))
    late._hub = HubApi(client)
    assert late.pass_once().stopped == 2
    assert {ended(hub, lease).end_kind for lease in leases} == {"idle"}


def test_a_stop_that_was_announced_and_is_due_no_more_is_taken_back(hub: Hub) -> None:
    lease = running(hub, "ada")
    # As a watch that was killed before it asked the hub.
    hub.ledger.announce_stop(lease.id, "It was without activity.", "idle")
    watch(hub).pass_once()
    hub.stop("ada")
    assert ended(hub, lease).reason == "The server was stopped."
