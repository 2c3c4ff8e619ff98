"""What a scientist sees of their Dask clusters on a real platform: warnings, reasons, dashboards, the panel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from playwright.sync_api import expect

from tests.support.browser import chromium, sign_in, take
from tests.support.person import Kernel, Person
from tests.support.platform import Platform

#: How many seconds the budget of the test lasts from when it is cut. The cluster stops half a minute before.
LASTS = 60


@pytest.fixture(scope="module")
def wilma(platform: Platform) -> Iterator[Person]:
    """Wilma, with a server that runs."""
    person = Person(platform.url, "wilma")
    person.sign_in()
    assert person.start_server(size="small").is_success
    yield person
    person.stop_server()


@pytest.fixture
async def kernel(wilma: Person) -> AsyncIterator[Kernel]:
    connected = await wilma.kernel()
    yield connected
    connected.close()


async def test_a_budget_that_ends_in_a_computation_is_warned_of_and_the_next_call_says_why(
    platform: Platform, wilma: Person, kernel: Kernel
) -> None:
    ledger = Ledger(make_engine(f"sqlite:///{platform.state / 'private' / 'ledger.sqlite'}"))
    ledger.open_project("deep-field", "explorer", pi="wilma", actor="admin")
    ledger.grant("deep-field", to_units(1), actor="admin", reason="A survey.", key="deep-field")
    started = await kernel.run(
        "import time, romanhub\nfrom romanhub.client import running\nrunning.PERIOD = 1\n"
        "cluster = romanhub.cluster(workers=1, account='deep-field')\n"
        "client = cluster.get_client()\nclient.wait_for_workers(1, timeout=120)\n"
        "waiting = client.submit(time.sleep, 3600)"
    )
    assert not started.error, started.error
    assert "1 worker costs 0.04 credits an hour. What you can use of deep-field, 1.00 credits" in started.text
    (cluster,) = ledger.clusters(person="wilma")

    # What is left is cut to a minute of one worker.
    balance = ledger.balance("deep-field")
    ledger.correct(
        "deep-field", cluster.rate * LASTS - (balance.posted - balance.accrued), actor="admin", reason="Spent.",
        key="cut",
    )  # fmt: skip
    # The cell waits for its result; the warning appears below it while it does, and then the end.
    waited = await asyncio.wait_for(kernel.run("waiting.result()"), 180)
    assert "Dask cluster: " in waited.text, waited
    assert "deep-field" in waited.text
    why = "The credits that paid for it are used up."
    assert why in (waited.error or ""), waited
    for call in ("client.submit(sum, [1, 2])", "cluster.scale(1)"):
        refused = await kernel.run(call)
        last = (refused.error or "").strip().splitlines()[-1]
        assert last == f"ClusterEndedError: This Dask cluster has ended. {why}", refused
    assert why in (await kernel.run("cluster")).text

    # The portal tells its owner the same, and nobody else.
    path = f"/services/portal/api/clusters/{cluster.name}"
    told = wilma.web.get(path, headers={"Authorization": f"token {wilma.token()}"}).json()
    assert (told["reason"], told["workers"]) == (why, 0)
    assert told["ended_at"]
    page = wilma.web.get("/services/portal/clusters").text
    assert why in page
    other = Person(platform.url, "fred")
    other.sign_in()
    assert other.web.get(path, headers={"Authorization": f"token {other.token()}"}).status_code == 404


async def test_a_dashboard_opens_for_its_owner_alone(platform: Platform, wilma: Person, kernel: Kernel) -> None:
    started = await kernel.run(
        "import romanhub, time\ncluster = romanhub.cluster(workers=1)\nclient = cluster.get_client()\n"
        "client.wait_for_workers(1, timeout=120)\nprint(cluster.dashboard_link)"
    )
    assert not started.error, started.error
    link = started.text.strip().splitlines()[-1]
    assert re.fullmatch(r"/user/wilma/dask/dashboard/[0-9a-f]{32}/status", link)
    try:
        other = Person(platform.url, "fred")
        other.sign_in()
        assert other.web.get(link).status_code == 403
        assert other.web.get(link, headers={"Authorization": f"token {other.token()}"}).status_code == 403
        assert Person(platform.url, "nobody").web.get(link).url.path == "/hub/login"
        # With a server of his own, Fred's way there does not open it either; nor does his system user.
        assert other.start_server(size="small").is_success
        try:
            assert other.web.get(link.replace("/user/wilma/", "/user/fred/")).status_code == 404
            freds = await other.kernel()
            socket = platform.state / "clusters" / link.split("/")[5] / "work" / "dashboard"
            reached = await freds.run(
                f"import socket\nwith socket.socket(socket.AF_UNIX) as one:\n    one.connect({str(socket)!r})"
            )
            if platform_separates(platform):
                assert "PermissionError" in (reached.error or ""), reached
            freds.close()
        finally:
            other.stop_server()
        await kernel.run("results = client.map(lambda number: time.sleep(0.02) or number, range(200))")
        await asyncio.to_thread(_watch_progress, platform.url, link)
    finally:
        await kernel.run("cluster.shutdown()")


def platform_separates(platform: Platform) -> bool:
    """Whether each user has a system user."""
    return "each user's server runs as a system user of its own" in platform.output


def _watch_progress(url: str, link: str) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, url, "wilma")
        page.goto(f"{url}{link}")
        # Bokeh draws in canvases, so what a plot shows is read from the page's model.
        page.wait_for_function("() => window.Bokeh && Bokeh.documents.length > 0", timeout=60_000)
        page.wait_for_function(
            """() => Bokeh.documents.some(document => [...document.all_models].some(model =>
                model.type === 'ColumnDataSource' && Array.from(
                    (model.data instanceof Map ? model.data.get('done') : model.data.done) ?? []
                ).includes('200 / 200')))""",
            timeout=60_000,
        )
        take(page, "dashboard")


def test_the_panel_of_lab_makes_scales_and_ends_a_cluster(platform: Platform, wilma: Person) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, platform.url, "wilma")
        page.goto(f"{platform.url}/user/wilma/lab")
        page.locator(".lm-TabBar-tab[data-id='dask-dashboard-launcher']").click(timeout=60_000)
        page.get_by_title("Start New Dask Cluster").click()
        cluster = page.locator(".dask-ClusterListingItem")
        expect(cluster).to_contain_text("0.00 credits/h, 0.00 so far", timeout=60_000)
        cluster.get_by_role("button", name="Scale").click()
        page.locator(".jp-Dialog input[type=number]").first.fill("1")
        page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(cluster).to_contain_text("Number of Workers: 1", timeout=60_000)
        expect(cluster).to_contain_text("0.04 credits/h, ", timeout=60_000)
        expect(cluster).to_contain_text(re.compile(r"GiB, lasts about \d+ days"), timeout=60_000)
        cluster.get_by_role("button", name="Scale").click()
        page.locator(".jp-Dialog input[type=number]").first.fill("99")
        page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(cluster).to_contain_text("so the cluster gets 4 instead of 99.", timeout=60_000)
        # Its plots come through the server, in Lab itself.
        expect(page.get_by_role("button", name="Task Stream", exact=True)).to_be_visible(timeout=60_000)
        take(page, "dask-panel")
        cluster.get_by_role("button", name="Shutdown").click()
        if page.locator(".jp-Dialog .jp-mod-accept").count():
            page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(cluster).to_have_count(0, timeout=60_000)
        page.goto(f"{platform.url}/services/portal/clusters")
        # Its workers end before it does, which may take a while yet.
        expect(page.locator("main")).to_contain_text(re.compile("It is being stopped|The cluster was stopped"))
        take(page, "portal-clusters")
