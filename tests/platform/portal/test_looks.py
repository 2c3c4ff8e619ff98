"""What a person sees, in a real browser: every page at both widths, in light and dark."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from hubquota.models.requests import Actor
from hubquota.services.ledger import Ledger
from hubquota.services.requests import Requests
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from playwright.sync_api import Browser, Page
from romanhub.portal import scopes
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import PortalSettings

from tests.platform.portal.purge_world import PurgeWorld, begin_purges, last_plan
from tests.platform.portal.world import (
    PREFIX,
    ROOT,
    SERVICE_TOKEN,
    TIERS,
    Clock,
    HubStandIn,
    tell_more,
    tell_of_clusters,
    tell_of_limits,
    tell_story,
    token_of,
)
from tests.support.browser import WIDTHS, chromium, take
from tests.support.ports import free_port

PERSON = ("access:services!service=portal",)
LONG_NAME = "benjamin-thompson-de-la-cruz@physics.example.edu"

#: Name of the screenshot, who looks, at what, and the status of the answer.
VIEWS = {
    "account": ("ada", "", 200),
    "account-further-back": ("ada", "?before=20", 200),
    "session": ("ada", "sessions/SLICED", 200),
    "requests": ("ada", "requests", 200),
    "requests-none": ("newcomer", "requests", 200),
    "projects": ("ada", "projects", 200),
    "project": ("ada", "projects/bulge-survey", 200),
    "queue": ("edwin", "admin/requests", 200),
    "queue-all": ("edwin", "admin/requests?decided=true", 200),
    "audit": ("edwin", "admin/audit", 200),
    "audit-of-charges": ("edwin", "admin/audit?kind=charge", 200),
    "account-empty": ("cecilia", "", 200),
    "account-before-first-start": ("newcomer", "", 200),
    "account-long-name": (LONG_NAME, "", 200),
    "all-accounts": ("edwin", "admin", 200),
    "all-accounts-none-found": ("edwin", "admin?q=zebra", 200),
    "one-account": ("edwin", "admin/accounts/ada", 200),
    "notices": ("ada", "notices", 200),
    "notices-none": ("newcomer", "notices", 200),
    "kept": ("olga", "", 200),
    "purge": ("edwin", "admin/purge", 200),
    "purge-plan": ("edwin", "admin/purge/PLAN", 200),
    "purge-plan-taken": ("edwin", "admin/purge/1", 200),
    "clusters": ("ada", "clusters", 200),
    "all-clusters": ("edwin", "admin/clusters", 200),
    "what-if": ("edwin", "admin/what-if", 200),
    "refused": ("ada", "admin", 403),
    "not-found": ("ada", "nothing", 404),
}


@dataclass
class Server:
    url: str
    hub: HubStandIn
    ledger: Ledger
    #: A session that was charged hour by hour.
    sliced: int
    #: A plan of a purge that waits for approval.
    plan: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    url = f"sqlite:///{tmp_path_factory.mktemp('looks')}/ledger.sqlite"
    engine = make_engine(url)
    migrate(engine)
    clock, hub, tiers = Clock(), HubStandIn(), TiersFile(TIERS)
    ledger = Ledger(engine, clock)
    purges = PurgeWorld(tmp_path_factory.mktemp("purge"), ledger, clock)
    begin_purges(purges, ledger, clock)
    tell_story(ledger, clock, tiers.current())
    tell_more(ledger, clock)
    tell_of_limits(ledger, clock)
    tell_of_clusters(ledger, clock)
    plan = last_plan(purges, ledger)
    for name in ("ada", "cecilia", "newcomer", "olga", LONG_NAME):
        hub.add(name, scopes=(*PERSON, scopes.REQUEST))
    hub.add("edwin", scopes=(*PERSON, "admin-ui"))
    settings = PortalSettings.from_environment(
        {
            "JUPYTERHUB_API_TOKEN": SERVICE_TOKEN,
            "HUBQUOTA_DATABASE_URL": url,
            "HUBQUOTA_TIERS": str(TIERS),
            "HUBQUOTA_PURGE": str(purges.file),
        }
    )
    http = httpx.AsyncClient(transport=httpx.MockTransport(hub.answer))
    app = create_app(settings, ledger=ledger, tiers=tiers, hub=HubClient(settings.hub, http), clock=clock)
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False).get(f"http://127.0.0.1:{port}/")
        sliced = ledger.statement("bulge-survey").ended[-1].id
        yield Server(f"http://127.0.0.1:{port}{PREFIX}", hub, ledger, sliced, plan)
    finally:
        running.should_exit = True
        thread.join()
        engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def open_page(
    browser: Browser, server: Server, who: str, path: str = "", *, scheme: str = "light", status: int = 200
) -> tuple[Page, list[str]]:
    """Open a page as somebody who is signed in; the list fills with what the browser complains of."""
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    context.add_cookies([{"name": "romanhub-portal", "value": token_of(who), "url": server.url}])
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    answer = page.goto(f"{server.url}{path}")
    assert answer
    assert answer.status == status
    return page, complaints


@pytest.mark.parametrize(
    ("view", "scheme"),
    [*((view, "light") for view in VIEWS), ("account", "dark"), ("all-accounts", "dark"), ("refused", "dark")],
)
def test_every_page_fits_and_the_browser_has_nothing_to_complain_of(
    browser: Browser, server: Server, view: str, scheme: str
) -> None:
    who, path, status = VIEWS[view]
    path = path.replace("SLICED", str(server.sliced)).replace("PLAN", str(server.plan))
    page, complaints = open_page(browser, server, who, path, scheme=scheme, status=status)

    take(page, f"portal-{view}-{scheme}")

    # The browser notes a page whose status is 403 or 404 as a failure to load; there is nothing else to note.
    assert [text for text in complaints if "the server responded with a status of 40" not in text] == []
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 800})
        inside, outside = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert inside <= outside, f"at {width} px the page has to be moved sideways"
    assert page.locator("h1").count() == 1
    page.context.close()


def test_the_style_sheet_is_in_force_and_the_bar_shows_what_is_used(browser: Browser, server: Server) -> None:
    page, _ = open_page(browser, server, "cecilia")
    page.set_viewport_size({"width": 1280, "height": 800})

    track, used = (page.locator(f".bar .{name}").bounding_box() for name in ("track", "used"))

    assert track
    assert used
    assert used["width"] / track["width"] == pytest.approx(49.975 / 50, abs=0.002)
    assert page.locator(".band").evaluate("e => getComputedStyle(e).borderBottomStyle") == "solid"
    page.context.close()


def test_the_keyboard_goes_first_to_a_way_past_the_links(browser: Browser, server: Server) -> None:
    page, _ = open_page(browser, server, "ada")

    page.keyboard.press("Tab")
    box = page.locator(".skip").bounding_box()

    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert box
    assert box["x"] >= 0, "the link is in sight while it has the focus"
    page.context.close()


def test_a_notebook_s_script_cannot_read_the_portal_with_the_browser_s_session(
    browser: Browser, server: Server
) -> None:
    """On a hub with one host, a page of a person's server has the portal's origin; this page stands for it."""
    page, _ = open_page(browser, server, "edwin")
    origin = server.url.removesuffix(PREFIX)
    # Its own opener policy keeps a window that it opens within its reach, which without one it is not.
    policy = {"Cross-Origin-Opener-Policy": "same-origin", "Content-Type": "text/html"}
    page.route(f"{origin}/user/mallory/", lambda route: route.fulfill(headers=policy, body="<p>hi"))
    page.goto(f"{origin}/user/mallory/")

    fetched = page.evaluate("path => fetch(path).then(answer => answer.status)", f"{PREFIX}api/accounts")
    with page.context.expect_page() as opened:
        page.evaluate("path => { window.other = window.open(path) }", f"{PREFIX}api/accounts")
    opened.value.wait_for_load_state()
    read = page.evaluate(
        "() => { try { return window.other.document.body.innerText } catch (e) { return e.name } }"
    )

    assert fetched == 401
    assert "survey-team" in opened.value.locator("body").inner_text(), "the person themselves can read it"
    assert read == "SecurityError"
    page.context.close()


def luminance(colour: str) -> float:
    """Relative luminance of a colour such as `#1d5a9e` (WCAG 2.2, "relative luminance")."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: int) -> None:
    css = Path(ROOT, "platform", "romanhub", "portal", "static", "portal.css").read_text()
    palette = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css.split(":root {")[1 + scheme].split("}")[0]))

    pairs = [(text, ground) for text in ("ink", "muted", "accent", "good") for ground in ("ground", "surface")]
    pairs += [("ink", "warn-ground"), ("on-accent", "accent")]
    for text, ground in pairs:
        lighter, darker = sorted((luminance(palette[text]), luminance(palette[ground])), reverse=True)
        # WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1.
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{text} on {ground}"


# Forms, in a browser without JavaScript ---------------------------------------------------------------


def signed_in(browser: Browser, server: Server, who: str) -> Page:
    """A page of somebody whose browser runs no scripts, with the cookie as the portal sets it."""
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(
        [
            {
                "name": "romanhub-portal",
                "value": token_of(who),
                "url": server.url,
                "sameSite": "Lax",
                "httpOnly": True,
            }
        ]
    )
    return context.new_page()


def test_a_request_is_asked_for_approved_and_read_without_javascript(browser: Browser, server: Server) -> None:
    server.ledger.open_account("grace", "explorer", 5, actor="test")
    server.hub.add("grace", scopes=(*PERSON, scopes.REQUEST))
    grace, edwin, nina = (signed_in(browser, server, who) for who in ("grace", "edwin", "nina"))
    server.hub.add("nina", scopes=(*PERSON, "admin-ui"))

    grace.goto(f"{server.url}requests")
    grace.select_option("#what", "tier:team")
    grace.fill("#amount", "a lot")
    grace.fill("#justification", "Proper motions of the halo.")
    grace.click("text=Send the request")
    assert "'a lot' is not a number." in grace.locator("[role=alert]").inner_text()
    assert grace.input_value("#justification") == "Proper motions of the halo.", "nothing that was written is lost"
    grace.fill("#amount", "700")
    grace.click("text=Send the request")
    assert grace.url == f"{server.url}requests"
    assert "Nobody has decided yet." in grace.locator("main").inner_text()

    form = "section:has-text('Proper motions of the halo.')"
    for page in (edwin, nina):
        page.goto(f"{server.url}admin/requests")
        page.fill(f"{form} input[name=amount]", "650")
        page.fill(f"{form} input[name=reason]", "A little less")
    edwin.click(f"{form} button[value=approve]")
    assert edwin.url == f"{server.url}admin/requests"
    assert "Proper motions" not in edwin.locator("main").inner_text()
    nina.click(f"{form} button[value=deny]")
    assert "Somebody was here first" in nina.locator("h1").inner_text()
    assert "was approved by edwin" in nina.locator("main").inner_text()
    nina.click("text=Back to the page")
    assert nina.url == f"{server.url}admin/requests"

    grace.reload()
    assert "Approved" in grace.locator("main").inner_text()
    assert "A little less." in grace.locator("main").inner_text()
    assert server.ledger.allocations("grace")[0].tier == "team"
    for page in (grace, edwin, nina):
        page.context.close()


def test_an_administrator_decides_several_requests_with_one_reason(browser: Browser, server: Server) -> None:
    requests, names = Requests.sharing(server.ledger), ("queue-1", "queue-2", "queue-3", "queue-4")
    asked = {}
    for name in names:
        server.ledger.open_account(name, "explorer", 5, actor="test")
        asked[name] = requests.ask(name, "team", 3600000000, justification="More.", by=Actor(name)).id
    edwin = signed_in(browser, server, "edwin")

    def choose(verdict: str, reason: str, *chosen: str) -> None:
        edwin.goto(f"{server.url}admin/requests")
        for name in chosen:
            edwin.check(f"[form=several][value='{asked[name]}']")
        edwin.select_option("#decision", verdict)
        edwin.fill("#reason", reason)
        edwin.click("#several >> text=Preview")

    choose("approve", "A good plan", "queue-1", "queue-2")
    take(edwin, "portal-decisions-preview")
    told = edwin.locator("main").inner_text()
    assert "2 requests would be approved, 2.00 credits together." in told
    assert "asked by queue-1" in told
    # Somebody else decides about one of them before this goes on.
    requests.deny(asked["queue-2"], by=Actor("nina", admin=True), reason="Not now")
    edwin.click("text=Approve them")
    take(edwin, "portal-decisions-done")
    told = edwin.locator("main").inner_text()
    assert "1 of 2 decided; the one that was not comes first." in told
    assert "denied by nina" in edwin.locator("tbody tr").first.inner_text()
    edwin.reload()
    assert "1 of 2 decided" in edwin.locator("main").inner_text(), "a form that is sent twice counts once"
    (granted,) = [one for one in server.ledger.allocations("queue-1") if one.tier == "team"]
    assert (granted.balance, granted.reason) == (3600000000, "A good plan")
    assert requests.request(asked["queue-2"]).decided_by == "nina"

    choose("deny", "The machine is full", "queue-3", "queue-4")
    assert "2 requests would be denied." in edwin.locator("main").inner_text()
    assert requests.request(asked["queue-3"]).is_open, "a preview changes nothing"
    edwin.click("text=Deny them")
    assert edwin.locator("td:has-text('Denied.')").count() == 2
    assert requests.request(asked["queue-4"]).decision_reason == "The machine is full"
    assert "The machine is full" in server.ledger.notices("queue-4")[0].text

    # Those that are left, without a tick; and nothing where nothing is chosen.
    choose("approve", "All of them")
    assert "Choose requests first" in edwin.locator("main").inner_text()
    edwin.goto(f"{server.url}admin/requests")
    edwin.select_option("#which", "all")
    edwin.fill("#reason", "All of them")
    edwin.click("#several >> text=Preview")
    left = {one.account for one in requests.queue()}
    told = edwin.locator("main").inner_text()
    assert left
    assert all(name in told for name in left)
    edwin.context.close()


def test_an_administrator_acts_on_one_account_and_on_several(browser: Browser, server: Server) -> None:
    for name in ("bulk-1", "bulk-2"):
        server.ledger.open_account(name, "explorer", 3600000000, actor="test", term_days=5)
    edwin = signed_in(browser, server, "edwin")

    edwin.goto(f"{server.url}admin/accounts/bulk-1")
    edwin.click("summary:has-text('Suspend an allocation')")
    edwin.fill("#suspend-reason", "A question is open")
    edwin.click("button:has-text('Suspend')")
    assert edwin.url == f"{server.url}admin/accounts/bulk-1"
    assert "Suspension\nA question is open. By edwin." in edwin.locator("main").inner_text()

    edwin.goto(f"{server.url}admin?q=ULK-")
    for name in ("bulk-1", "bulk-2"):
        edwin.check(f"[aria-label='Choose {name}']")
    edwin.fill("#amount", "2.5")
    edwin.fill("#days", "10")
    edwin.fill("#reason", "The outage of last week")
    edwin.click("text=Preview")
    take(edwin, "portal-bulk-preview")
    assert "3.50" in edwin.locator("main").inner_text()
    edwin.click("text=Do it")
    take(edwin, "portal-bulk-done")
    assert edwin.locator("td:has-text('Done.')").count() == 2
    assert server.ledger.balance("bulk-2").posted == 3600000000 * 7 // 2
    edwin.reload()
    assert server.ledger.balance("bulk-2").posted == 3600000000 * 7 // 2, "a form that is sent twice counts once"

    # All that a search finds, over as many pages as there are: the preview says how many, and what they come to.
    for number in range(60):
        server.ledger.open_account(f"flock-{number}", "explorer", 3600000000, actor="test", term_days=5)
    server.ledger.open_account("flock-endless", "explorer", 0, actor="test")
    edwin.goto(f"{server.url}admin?q=flock")
    take(edwin, "portal-accounts-found")
    assert edwin.locator("tbody tr").count() == 50
    edwin.select_option("#which", "found")
    edwin.fill("#amount", "1")
    edwin.fill("#days", "7")
    edwin.fill("#reason", "The outage of last week")
    edwin.click("text=Preview")
    take(edwin, "portal-bulk-all")
    told = edwin.locator("main").inner_text()
    assert "60 accounts would be changed, by 60.00 credits together; 1 left alone." in told
    moved = server.ledger.allocations("flock-7")[0]
    server.ledger.extend_term(moved.id, None, actor="nina", reason="For good", key="flock-7")
    edwin.click("text=Do it")
    told = edwin.locator("main").inner_text()
    assert "59 of 60 done; the one that was not comes first." in told
    assert "Its end has been moved since the plan was shown." in edwin.locator("tbody tr").first.inner_text()
    edwin.reload()
    assert {server.ledger.balance(f"flock-{n}").posted for n in range(60) if n != 7} == {7200000000}
    assert server.ledger.balance("flock-7").posted == 3600000000

    edwin.goto(f"{server.url}admin?q=bulk")
    edwin.check("[aria-label='Choose bulk-2']")
    with edwin.expect_download() as download:
        edwin.click("text=Export as CSV")
    assert "bulk-2,user,explorer,active" in Path(download.value.path()).read_text()
    edwin.context.close()


def test_limits_a_plan_and_another_tiers_file_without_javascript(browser: Browser, server: Server) -> None:
    edwin, olga = (signed_in(browser, server, who) for who in ("edwin", "olga"))

    edwin.goto(f"{server.url}admin/accounts/cecilia")
    for title in ("Give an override", "Move the account", "Put the account on hold"):
        edwin.click(f"summary:has-text('{title}')")
    take(edwin, "portal-limits-forms")
    edwin.check("#size-large")
    edwin.fill("#override-workers", "12")
    edwin.fill("#override-until", "2027-03-31")
    edwin.fill("#override-reason", "A school")
    edwin.click("button:has-text('Give')")
    assert edwin.url == f"{server.url}admin/accounts/cecilia"
    assert "Size large; 12 Dask workers at once." in edwin.locator("main").inner_text()

    edwin.goto(f"{server.url}admin/purge/{server.plan}")
    edwin.fill("#digest", edwin.locator(".digest").inner_text()[:12])
    edwin.click("text=Approve the plan")
    assert "by edwin" in edwin.locator(".lead").inner_text()
    olga.goto(server.url)
    olga.click("text=Ask for it back")
    assert "olga has asked for it back." in olga.locator("#kept + table").inner_text()

    edwin.goto(f"{server.url}admin/what-if")
    edwin.fill("#since", "2026-11-02")
    edwin.fill("#tiers", TIERS.read_text().replace("budget: 500\n", "budget: many\n"))
    edwin.click("text=Replay")
    take(edwin, "portal-what-if-mistake")
    assert "tiers.researcher.budget" in edwin.locator("[role=alert]").inner_text()
    scarce = TIERS.read_text().replace("budget: 50 ", "budget: 10 ").replace("budget: 500\n", "budget: 20\n")
    edwin.set_input_files("#file", {"name": "new.yaml", "mimeType": "text/yaml", "buffer": scarce.encode()})
    edwin.click("text=Replay")
    take(edwin, "portal-what-if-answer")
    assert "cecilia" in edwin.locator("#accounts + table").inner_text()
    for page in (edwin, olga):
        page.context.close()


def test_a_notebook_s_script_can_neither_read_nor_send_a_form_of_the_portal_s(
    browser: Browser, server: Server
) -> None:
    """The page of `mallory` stands for one of a person's server, which has the portal's host and origin."""
    page, _ = open_page(browser, server, "edwin")
    origin = server.url.removesuffix(PREFIX)
    policy = {"Cross-Origin-Opener-Policy": "same-origin", "Content-Type": "text/html"}
    body = (
        f"<form id=f method=post action='{PREFIX}admin/acts/grant'><input name=account value=cecilia>"
        "<input name=amount value=1000><input name=reason value=x><input name=tier value=team></form>"
    )
    page.route(f"{origin}/user/mallory/", lambda route: route.fulfill(headers=policy, body=body))
    page.goto(f"{origin}/user/mallory/")
    before = server.ledger.balance("cecilia").posted

    with page.context.expect_page() as opened:
        page.evaluate("path => { window.other = window.open(path) }", f"{PREFIX}admin/accounts/cecilia")
    opened.value.wait_for_load_state()
    assert opened.value.locator("#grant-amount").count() == 1, "the person themselves can use it"
    read = page.evaluate(
        "() => { try { return window.other.document.body.innerText } catch (e) { return e.name } }"
    )
    posted = page.evaluate(
        "path => fetch(path, {method: 'POST', body: new URLSearchParams('account=cecilia')}).then(a => a.status)",
        f"{PREFIX}admin/acts/grant",
    )
    with page.expect_navigation():
        page.evaluate("document.getElementById('f').submit()")

    assert read in ("SecurityError", "TypeError")
    assert posted == 403
    assert "This form was opened too long ago, or not here." in page.locator("main").inner_text()
    assert server.ledger.balance("cecilia").posted == before
    page.context.close()
