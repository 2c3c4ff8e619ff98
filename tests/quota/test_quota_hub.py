"""A real JupyterHub with the quota spawner, as a browser, REST and a crash see it."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import httpx
import pytest
from hubquota.hub.keys import server_key
from hubquota.models.ledger import Lease
from hubquota.models.money import to_units
from hubquota.models.words import moment_text
from hubquota.storage.engine import decision, make_engine
from prometheus_client.parser import text_string_to_metric_families

from tests.quota.support import Hub, eventually

ASK = "To ask for more, see https://platform.example/help."
ASK_AS_LINK = 'see <a href="https://platform.example/help">https://platform.example/help</a>.'


def words(page: str) -> str:
    """Return a page's text as somebody reads it."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", page)).split())


def radios(page: str) -> dict[str, str]:
    """Return the form's choices: each one's value with its whole tag."""
    return {
        match["value"]: match.group()
        for match in re.finditer(r'<input [^>]*type="radio"[^>]*value="(?P<value>[^"]*)"[^>]*>', page)
    }


def put_into_group(hub: Hub, user: str, group: str) -> None:
    api = hub.api()
    api.post(f"users/{user}")
    api.post(f"groups/{group}")
    api.post(f"groups/{group}/users", json={"users": [user]}).raise_for_status()


def open_lease(hub: Hub, user: str) -> Lease:
    lease = hub.ledger.open_lease(server_key(user, ""))
    assert lease is not None
    return lease


def ended_lease(hub: Hub, lease: Lease, *, within: float = 20) -> Lease:
    def look() -> Lease | None:
        found = hub.ledger.lease(lease.id)
        return found if found and not found.is_open else None

    return eventually(look, f"the end of lease {lease.id}", within=within)


def check_charge(hub: Hub, lease: Lease) -> None:
    """Check that a lease's charge is exact, and that it is what the account has paid."""
    assert lease.started_at is not None
    assert lease.ended_at is not None
    seconds = int((lease.ended_at - lease.started_at).total_seconds())
    assert lease.charged == lease.rate * seconds
    paid = [e.amount for e in hub.ledger.statement(lease.account).entries if e.lease_id == lease.id]
    assert sum(paid) == -lease.charged
    assert hub.ledger.verify() == []


# The form ----------------------------------------------------------------------------------------------


def test_the_form_shows_the_sizes_of_the_tier_and_no_others(hub: Hub) -> None:
    page = hub.browser("form").get("/hub/spawn").text
    assert list(radios(page)) == ["small", "medium"]
    assert "Medium, 4 cores, 16 GB: 0.15 credits an hour, about 540 hours left" in words(page)
    assert "Tier Explorer: 81.00 credits available" in words(page)
    assert " checked" in radios(page)["medium"]
    assert " checked" not in radios(page)["small"]
    assert "Large" not in words(page)


def test_looking_at_the_form_opens_no_account(hub: Hub) -> None:
    hub.browser("onlooker").get("/hub/spawn").raise_for_status()
    assert hub.ledger.account("onlooker") is None


def test_a_size_out_of_reach_is_disabled_with_a_reason(hub: Hub) -> None:
    put_into_group(hub, "thrifty", "the-poor")
    page = hub.browser("thrifty").get("/hub/spawn").text
    assert " disabled" in radios(page)["medium"]
    assert "A start needs 0.03 credits, and 0.01 are available." in words(page)
    assert " disabled" not in radios(page)["small"]
    assert " checked" in radios(page)["small"]


def test_with_nothing_left_the_form_says_so_and_how_to_ask(hub: Hub) -> None:
    put_into_group(hub, "penniless", "the-broke")
    page = hub.browser("penniless").get("/hub/spawn").text
    assert "Nothing can be started: the credits that are left do not pay for the first 10 minutes" in words(page)
    assert ASK_AS_LINK in page
    assert all(" disabled" in tag for tag in radios(page).values())


def test_the_form_starts_the_chosen_size(hub: Hub) -> None:
    browser = hub.browser("chooser")
    browser.get("/hub/spawn").raise_for_status()
    browser.post(
        "/hub/spawn", params={"_xsrf": browser.cookies.get("_xsrf", path="/hub/")}, data={"size": "small"}
    ).raise_for_status()
    eventually(lambda: hub.server("chooser", ready=True), "the server")
    assert open_lease(hub, "chooser").label == "Small server"
    hub.stop("chooser")


# Refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ({"size": "large"}, 400, "The tier Explorer does not offer the size 'large'; it offers: small, medium."),
        ({"size": ["small"]}, 400, "The tier Explorer does not offer the size '['small']'"),
        ({"image": "mine"}, 400, "A start has no option named image; the options are: account, size."),
    ],
)
def test_a_start_by_rest_with_what_is_not_offered_is_refused_with_the_text(
    hub: Hub, options: dict[str, object], status: int, text: str
) -> None:
    api = hub.api()
    api.post("users/wants-more")
    answer = api.post("users/wants-more/server", json=options)
    assert answer.status_code == status
    assert text in answer.json()["message"]
    assert hub.ledger.open_leases("server", "wants-more") == []


def test_a_refusal_is_read_on_the_form_the_progress_page_and_in_rest(hub: Hub) -> None:
    put_into_group(hub, "pauper", "the-broke")
    text = (
        "Not enough credits: Small server costs 0.04 credits an hour and needs 0.01 for its first 10 minutes, "
        f"but pauper has 0.00 available (0.00 on the account, 0.00 of it taken by what runs now). {ASK}"
    )
    answer = hub.api().post("users/pauper/server")
    assert answer.status_code == 403
    assert answer.json()["message"] == text

    browser = hub.browser("pauper")
    browser.get("/hub/spawn").raise_for_status()
    form = browser.post(
        "/hub/spawn", params={"_xsrf": browser.cookies.get("_xsrf", path="/hub/")}, data={"size": "small"}
    )
    assert form.status_code == 403
    assert f"Error: {text}" in words(form.text)

    pending = browser.get("/hub/spawn-pending/pauper")
    assert text in words(pending.text)
    assert ASK_AS_LINK in pending.text

    with hub.api().stream("GET", "users/pauper/server/progress") as events:
        assert "platform.example/help" in next(line for line in events.iter_lines() if "failed" in line)


def test_a_refusal_counts_as_a_refusal_in_the_metrics(hub: Hub) -> None:
    put_into_group(hub, "counted", "the-broke")
    hub.api().post("users/counted/server")
    metrics = hub.api().get(f"{hub.url}/hub/metrics").raise_for_status().text
    # JupyterHub 5 counts failures alone, without their reasons.
    reason = 'reason="quota-budget",' if hub.version.startswith("6.") else ""
    assert f'jupyterhub_server_spawn_duration_seconds_count{{{reason}status="failure"}}' in metrics


def test_without_the_ledger_a_start_is_refused_and_says_why(hub: Hub) -> None:
    api = hub.api()
    api.post("users/unserved")
    other = make_engine(hub.database_url)
    with decision(other):  # holds the only write lock for longer than the hub's deadline
        answer = api.post("users/unserved/server")
    other.dispose()
    assert answer.status_code == 503
    assert "The accounts cannot be read at the moment, so no server can be started." in answer.json()["message"]
    assert hub.ledger.open_leases("server", "unserved") == []


# Charges -----------------------------------------------------------------------------------------------


def test_a_start_opens_a_lease_and_a_stop_closes_it_with_the_exact_charge(hub: Hub) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    hub.ready("ada", size="medium")
    lease = open_lease(hub, "ada")
    assert lease.rate == 150_000
    assert lease.started_at is not None
    assert lease.started_at >= before
    eventually(lambda: hub.ledger.balance("ada").accrued, "a second of running")
    asked = datetime.now(UTC).replace(microsecond=0)
    hub.stop("ada")
    ended = ended_lease(hub, lease)
    assert (ended.reason, ended.end_kind) == ("The server was stopped.", "stopped")
    assert ended.ended_at is not None
    assert ended.ended_at >= asked
    assert ended.charged > 0
    check_charge(hub, ended)
    balance = hub.ledger.balance("ada")
    assert balance.available == balance.posted == to_units(81) - ended.charged


def test_a_server_gets_the_sizes_limits(hub: Hub) -> None:
    model = hub.ready("limits", size="small")
    environment = Path(f"/proc/{model['state']['pid']}/environ").read_text()
    assert "CPU_LIMIT=1.0" in environment
    assert f"MEM_LIMIT={4 * 1024**3}" in environment
    assert model["state"]["quota_lease"] == open_lease(hub, "limits").id
    hub.stop("limits")


def test_a_server_that_is_killed_is_charged_until_it_was_last_seen(hub: Hub) -> None:
    model = hub.ready("victim", size="small")
    lease = open_lease(hub, "victim")
    eventually(lambda: hub.ledger.balance("victim").accrued, "a second of running")
    hub.kill_server(model)
    killed = datetime.now(UTC)
    ended = ended_lease(hub, lease)
    # Signal 9 can come from anybody: that it was the memory is not said.
    assert ended.end_kind == "ended"
    assert ended.reason == "The server ended by itself; it was last seen running at the end of the charge."
    assert ended.ended_at is not None
    # Seen every second, with a little jitter.
    assert -3 < (ended.ended_at - killed).total_seconds() <= 0
    check_charge(hub, ended)


def test_the_end_of_one_server_is_read_while_another_one_runs(hub: Hub) -> None:
    hub.ready("nora", size="small")
    api, named = hub.api(), "users/nora/servers/second"
    api.post(named, json={"size": "small"}).raise_for_status()
    eventually(lambda: api.get("users/nora").json()["servers"].get("second", {}).get("ready"), "the second server")
    lease = hub.ledger.open_lease(server_key("nora", "second"))
    assert lease is not None
    hub.ledger.announce_stop(lease.id, "It was without activity for 1 hour.", "idle")
    api.delete(named).raise_for_status()
    ended_lease(hub, lease)
    browser = hub.browser("nora")
    for page in ("home", "spawn/nora/second"):
        text = words(browser.get(f"/hub/{page}").text)
        assert "Your last server, Small server, was stopped on" in text
        assert "It was without activity for 1 hour." in text
    # Of a server that has not been there yet, there is nothing to say.
    assert "Your last server" not in browser.get("/hub/spawn/nora/third").text


def test_a_server_that_never_answers_costs_nothing_and_the_page_says_that_it_failed(hub: Hub) -> None:
    hub.api().post("users/mute")
    hub.api().post("users/mute/server")
    over = eventually(lambda: hub.last_lease("mute"), "the end of the lease")
    assert (over.charged, over.end_kind) == (0, "failed")
    assert over.started_at is not None
    assert over.ended_at == over.started_at
    page = words(hub.browser("mute").get("/hub/home").text)
    assert "Your last server, Medium server, failed to start on" in page
    assert "started but did not answer" in page
    assert hub.ledger.balance("mute").available == to_units(81)


def test_a_start_that_fails_costs_nothing(hub: Hub) -> None:
    api = hub.api()
    api.post("users/unlucky")
    assert api.post("users/unlucky/server").status_code == 500
    lease = eventually(lambda: hub.last_lease("unlucky"), "the end of the lease")
    assert (lease.started_at, lease.charged, lease.reason) == (None, 0, "The server did not start.")
    assert lease.end_kind == "failed"
    assert hub.ledger.balance("unlucky").available == to_units(81)


def test_a_start_that_is_given_up_costs_nothing_and_holds_nothing(hub: Hub) -> None:
    api = hub.api()
    api.post("users/slow")
    start = threading.Thread(target=_start_and_wait, args=(api, "slow"))
    start.start()
    eventually((hub.folder / "slow-is-starting").exists, "the pending start")
    lease = open_lease(hub, "slow")
    assert hub.ledger.balance("slow").set_aside == lease.rate * 600
    hub.stop("slow")
    ended = ended_lease(hub, lease)
    assert (ended.started_at, ended.charged) == (None, 0)
    assert hub.ledger.balance("slow").available == to_units(81)
    start.join()


def _start_and_wait(api: httpx.Client, user: str) -> None:
    with suppress(httpx.HTTPError):  # when the hub is killed meanwhile
        api.post(f"users/{user}/server")


# Reasons and warnings ----------------------------------------------------------------------------------


def test_the_home_page_and_the_spawn_page_say_why_the_last_server_was_stopped(hub: Hub) -> None:
    hub.ready("reader", size="small")
    lease = open_lease(hub, "reader")
    browser = hub.browser("reader")
    assert "Your last server" not in words(browser.get("/hub/home").text)
    hub.ledger.announce_stop(lease.id, "The <machines> are serviced, see https://platform.example/news.", "admin")
    hub.stop("reader")
    ended = ended_lease(hub, lease)
    assert ended.ended_at is not None
    text = (
        f"Your last server, Small server, was stopped on {moment_text(ended.ended_at)}. "
        "The <machines> are serviced, see https://platform.example/news."
    )
    for page in ("/hub/home", "/hub/spawn", "/hub/user/reader/lab"):
        shown = browser.get(page).text
        assert text in words(shown), page
        assert '<a href="https://platform.example/news">' in shown
        assert "&lt;machines&gt;" in shown
    # The hub's own page is there too.
    assert "Start My Server" in words(browser.get("/hub/home").text)


def test_the_home_page_warns_before_a_stop(hub: Hub) -> None:
    hub.ledger.open_account("nearly", "explorer", 40_000 * 1300, actor="test")
    hub.ready("nearly", size="small")
    page = words(hub.browser("nearly").get("/hub/home").text)
    assert "Your Small server will be stopped in 21 minutes." in page
    assert "The credits of nearly that pay for it end then. Save your work before then." in page
    hub.stop("nearly")


def test_without_the_ledger_the_home_page_works(hub: Hub) -> None:
    browser = hub.browser("patient")
    other = make_engine(hub.database_url)
    (hub.folder / "tiers.yaml").rename(hub.folder / "tiers.away")
    try:
        with decision(other):
            page = browser.get("/hub/home")
    finally:
        (hub.folder / "tiers.away").rename(hub.folder / "tiers.yaml")
    other.dispose()
    assert page.status_code == 200
    assert "Start My Server" in words(page.text)


# Crashes -----------------------------------------------------------------------------------------------


def test_after_a_crash_of_the_hub_no_lease_is_open_without_a_server(hub: Hub) -> None:
    survivor, casualty, unborn = "survivor", "casualty", "slow-and-unlucky"
    hub.api().post(f"users/{unborn}")
    start = threading.Thread(target=_start_and_wait, args=(hub.api(), unborn))
    start.start()
    eventually((hub.folder / f"{unborn}-is-starting").exists, "the pending start")
    never = open_lease(hub, unborn)
    hub.ready(survivor, size="small")
    dead = hub.ready(casualty, size="small")
    kept, lost = open_lease(hub, survivor), open_lease(hub, casualty)

    def sight() -> datetime | None:
        found = hub.ledger.lease(lost.id)
        return found.seen_at if found else None

    eventually(sight, "a sighting in the ledger")
    hub.kill()
    start.join()
    last = sight()
    hub.kill_server(dead)
    hub.start()
    eventually(lambda: hub.server(survivor, ready=True), "the survivor")
    ended = ended_lease(hub, lost)
    assert ended.ended_at == last
    check_charge(hub, ended)
    assert ended_lease(hub, never).charged == 0
    running = {server_key(u["name"], s) for u in hub.api().get("users").json() for s in u["servers"]}
    assert {lease.key for lease in hub.ledger.open_leases("server")} <= running

    still = hub.ledger.lease(kept.id)
    assert still is not None
    assert still.is_open
    hub.stop(survivor)
    check_charge(hub, ended_lease(hub, kept))


def test_a_leftover_lease_is_settled_by_the_next_start(hub: Hub) -> None:
    hub.ledger.open_account("returning", "explorer", to_units(81), actor="test")
    leftover = hub.ledger.admit(
        "returning", kind="server", key=server_key("returning", ""), label="Small server", rate=40_000
    )
    hub.ledger.begin(leftover.id)
    hub.ready("returning", size="small")
    ended = ended_lease(hub, leftover)
    assert ended.charged == 0  # nobody ever saw it run
    assert open_lease(hub, "returning").id != leftover.id
    hub.stop("returning")


def test_the_hub_s_own_metrics_count_decisions(hub: Hub) -> None:
    def counted() -> dict[str, float]:
        text = hub.api().get(f"{hub.url}/hub/metrics").raise_for_status().text
        return {
            sample.labels.get("outcome", sample.name): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in {"hubquota_admissions_total", "hubquota_admission_duration_seconds_count"}
        }

    before = counted()
    hub.ready("meter", size="small")
    hub.stop("meter")
    refused = hub.api().post("users/meter/server", json={"size": "gigantic"})
    assert refused.status_code == httpx.codes.BAD_REQUEST
    after = counted()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"admitted": 1, "size": 1, "hubquota_admission_duration_seconds_count": 2}
