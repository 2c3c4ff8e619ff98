"""The community's pages in a real browser: how they look, publishing without scripts, and the frame's walls."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from playwright.sync_api import Browser, Page, Route
from romanhub.community.proof.queue import Queue
from romanhub.community.proof.settings import RunSettings
from romanhub.community.storage.tables import MIGRATIONS
from romanhub.portal.app import create_app
from romanhub.portal.hub import HubClient
from romanhub.portal.running import Running
from romanhub.portal.settings import PortalSettings

from tests.platform.community.hostile import INERT, NAMES
from tests.platform.community.shelf import Shelf
from tests.platform.portal.community_world import ABOUT, NearInspector, tell_of_entries, tell_of_runs, with_figure
from tests.platform.portal.world import PREFIX, SERVICE_TOKEN, TIERS, Clock, HubStandIn, token_of
from tests.support.browser import WIDTHS, chromium, take
from tests.support.ports import free_port

PERSON = (
    "access:services!service=portal",
    "custom:romanhub:community:publish",
    "custom:romanhub:allocations:request",
)

#: Name of the screenshot, who looks, at what, and the status of the answer.
VIEWS = {
    "gallery": ("ada", "community", 200),
    "gallery-narrowed": ("ada", "community?q=depth&tag=photometry&status=reviewed", 200),
    "gallery-nothing": ("ada", "community?q=zebra", 200),
    "gallery-wrong": ("ada", "community?status=zebra", 200),
    "entry": ("bob", "community/depth-of-a-stack", 200),
    "entry-older": ("grace", "community/depth-of-a-stack?version=1", 200),
    "entry-of-mine": ("ada", "community/depth-of-a-stack", 200),
    "entry-for-a-curator": ("edwin", "community/light-curves", 200),
    "entry-that-is-not-run": ("grace", "community/elsewhere", 200),
    "deprecated": ("ada", "community/an-old-way", 200),
    "tombstone": ("ada", "community/a-mistake", 410),
    "changes": ("grace", "community/depth-of-a-stack/changes?from=1&to=3", 200),
    "mine": ("ada", "community/-/mine", 200),
    "mine-nothing": ("grace", "community/-/mine", 200),
    "draft": ("ada", "community/proper-motions/draft", 200),
    "no-entry": ("ada", "community/of-bob-alone", 404),
}


@dataclass
class Server:
    url: str
    shelf: Shelf

    @property
    def origin(self) -> str:
        return self.url.removesuffix(PREFIX)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("looks")
    ledger_url, url = f"sqlite:///{folder}/ledger.sqlite", f"sqlite:///{folder}/community.sqlite"
    engine, catalogue_engine = make_engine(ledger_url), make_engine(url)
    migrate(engine)
    migrate(catalogue_engine, MIGRATIONS)
    shelf = Shelf(catalogue_engine, inspector=NearInspector())
    tell_of_entries(shelf)
    shelf.publish("bob", "elsewhere", image="ghcr.io/bob/mine:1", title="In an image of Bob's")
    queue = Queue(catalogue_engine, RunSettings(at_once=20), lambda: shelf.now)
    tell_of_runs(shelf, queue)
    clock, hub, tiers = Clock(), HubStandIn(), TiersFile(TIERS)
    for name in ("ada", "bob", "grace"):
        hub.add(name, scopes=PERSON)
    hub.add("root", scopes=(*PERSON, "custom:romanhub:allocations:admin"))
    hub.add("edwin", scopes=PERSON, groups=["community-curators"])
    Ledger(engine, clock).open_account("ada", "explorer", 10**9, actor="root", term_days=30, renewable=True)
    settings = PortalSettings.from_environment(
        {
            "JUPYTERHUB_API_TOKEN": SERVICE_TOKEN,
            "HUBQUOTA_DATABASE_URL": ledger_url,
            "HUBQUOTA_TIERS": str(TIERS),
            "ROMANHUB_COMMUNITY_DATABASE_URL": url,
        }
    )
    http = httpx.AsyncClient(transport=httpx.MockTransport(hub.answer))
    app = create_app(
        settings,
        ledger=Ledger(engine, clock),
        tiers=tiers,
        hub=HubClient(settings.hub, http),
        clock=clock,
        catalogue=shelf.catalogue,
        running=Running(queue, shelf.bucket.get),
    )
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        web = httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False, timeout=120)
        web.get(f"http://127.0.0.1:{port}/")
        yield Server(f"http://127.0.0.1:{port}{PREFIX}", shelf)
    finally:
        running.should_exit = True
        thread.join()
        engine.dispose()
        catalogue_engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def signed_in(browser: Browser, server: Server, who: str, *, scripts: bool = False, scheme: str = "light") -> Page:
    """A page of somebody who is signed in."""
    context = browser.new_context(
        java_script_enabled=scripts, color_scheme="dark" if scheme == "dark" else "light"
    )
    cookie = {"name": "romanhub-portal", "value": token_of(who), "url": server.url, "sameSite": "Lax"}
    context.add_cookies([cookie | {"httpOnly": True}])  # type: ignore[list-item]
    return context.new_page()


@pytest.mark.parametrize(
    ("view", "scheme"), [*((view, "light") for view in VIEWS), ("gallery", "dark"), ("entry", "dark")]
)
def test_every_page_fits_and_the_browser_has_nothing_to_complain_of(
    browser: Browser, server: Server, view: str, scheme: str
) -> None:
    who, path, status = VIEWS[view]
    page = signed_in(browser, server, who, scripts=True, scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = page.goto(f"{server.url}{path}", wait_until="load")
    assert page.get_by_role("link", name="Community", exact=True).count() > 0
    assert answer
    assert answer.status == status

    take(page, f"community-{view}-{scheme}")

    assert [text for text in complaints if "the server responded with a status of 4" not in text] == []
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 800})
        inside, outside = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert inside <= outside, f"at {width} px the page has to be moved sideways"
    assert page.locator("h1").count() == 1
    page.context.close()


def test_from_a_file_to_an_entry_that_somebody_else_finds_stars_and_a_curator_reviews(
    browser: Browser, server: Server
) -> None:
    ada, bob, edwin = (signed_in(browser, server, who) for who in ("ada", "bob", "edwin"))
    ada.goto(f"{server.url}community/-/mine")
    file = {"name": "Halo Survey.ipynb", "mimeType": "application/x-ipynb+json", "buffer": b"no notebook"}
    ada.set_input_files("#notebook", file)  # type: ignore[arg-type]
    ada.click("text=Send it as a draft")
    assert "That was not taken" in ada.locator("[role=alert]").inner_text()
    ada.set_input_files("#notebook", file | {"buffer": with_figure(7)})  # type: ignore[arg-type]
    ada.click("text=Send it as a draft")
    assert ada.url == f"{server.url}community/halo-survey/draft"
    bob.goto(f"{server.url}community/halo-survey")
    assert "No such entry" in bob.locator("h1").inner_text(), "a draft is for its author alone"

    ada.click("text=Save, and make it public")
    assert "it lacks" in ada.locator("[role=alert]").inner_text()
    ada.fill("#title", "Survey of the halo")
    ada.fill("#abstract", "Counts the stars of the halo, field by field.")
    ada.fill("#authors", "Ada Lovelace; 0000-0002-1825-0098")
    ada.fill("#licence", "CC-BY-4.0")
    ada.fill("#tags", "halo, counts")
    ada.click("text=Save, and look at it")
    assert "is no ORCID iD" in ada.locator("#authors-wrong").inner_text()
    assert ada.input_value("#title") == "Survey of the halo", "nothing that was written is lost"
    ada.fill("#authors", "Ada Lovelace; 0000-0002-1825-0097")
    ada.click("text=Save, and look at it")
    assert "Survey of the halo" in ada.locator("#preview + h3").inner_text()
    assert ada.frame_locator("iframe.notebook").locator("h1").inner_text() == "Depth of a stack"
    take(ada, "community-preview")
    ada.click("text=Save, and make it public")
    assert ada.url == f"{server.url}community/halo-survey"

    bob.goto(f"{server.url}community")
    bob.fill("#q", "halo")
    bob.click("button:has-text('Search')")
    bob.click("a:has-text('Survey of the halo')")
    assert bob.locator("button:has-text('Withdraw')").count() == 0
    bob.click("text=Give a star")
    assert "Take your star back (1)" in bob.locator("main").inner_text()
    edwin.goto(f"{server.url}community/halo-survey")
    edwin.click("summary:has-text('Review')")
    edwin.click("form[action$='acts/review'] button")
    assert "reviewed" in edwin.locator(".marks").first.inner_text()
    ada.goto(f"{server.url}community/halo-survey")
    ada.click("summary:has-text('Withdraw')")
    ada.fill("#reason-withdraw", "The counts were wrong")
    ada.click("form[action$='acts/withdraw'] button")
    assert "The counts were wrong." in ada.locator("main").inner_text()
    bob.goto(f"{server.url}community?q=halo")
    assert "Survey of the halo" not in bob.locator("main").inner_text()
    for page in (ada, bob, edwin):
        page.context.close()


def test_an_entrys_page_shows_its_last_runs(browser: Browser, server: Server) -> None:
    page = signed_in(browser, server, "grace")
    page.goto(f"{server.url}community/depth-of-a-stack")
    rows = page.locator("section[aria-labelledby=proof] tbody tr")
    assert rows.count() == 3
    failed, passed = rows.nth(1).inner_text(), rows.nth(0).inner_text()
    for part in ("failed", "Code cell 2: KeyError: 'F158'", "12 s", "roman-c4ee9c5b02ed8868"):
        assert part in failed
    for part in ("passed", "1 min 4 s", "400.5 MiB", "0.01 credits", "version 3", "2027"):
        assert part in passed
    assert page.locator(".strip").inner_text().split() == ["✓", "✗", "✓"]
    page.goto(f"{server.url}community/elsewhere")
    told = page.locator("section[aria-labelledby=proof]").inner_text()
    assert "It is not known: the platform could not run it." in told
    assert "names the image 'ghcr.io/bob/mine:1', and this platform has roman." in told
    page.context.close()


def test_a_request_lists_entries_with_their_use_and_an_administrator_reads_it(
    browser: Browser, server: Server
) -> None:
    ada = signed_in(browser, server, "ada")
    ada.goto(f"{server.url}requests")
    ada.select_option("#what", "renew:1")
    ada.fill("#justification", "Another season.")
    ada.fill("#results", "doi:10.1000/roman.1")
    ada.check("label:has-text('Depth of a stack: 3 opens, 3 stars')")
    take(ada, "request-with-entries")
    ada.fill("#amount", "a lot")
    ada.click("text=Send the request")
    assert ada.is_checked("#entry-depth-of-a-stack"), "nothing that was chosen is lost"
    ada.fill("#amount", "")
    ada.click("text=Send the request")
    line = (
        "Shared with the community: Depth of a stack (depth-of-a-stack), opened 3 times by 3 people, 3 stars, "
        "1 built on it."
    )
    assert line in ada.locator("section[aria-labelledby=asked]").inner_text()
    root = signed_in(browser, server, "root")
    root.goto(f"{server.url}admin/requests")
    assert f"doi:10.1000/roman.1\n{line}" in root.locator("main").inner_text()
    bob = signed_in(browser, server, "grace")
    bob.goto(f"{server.url}requests")
    assert bob.locator("fieldset").count() == 0, "who shares nothing is not asked"
    for page in (ada, bob, root):
        page.context.close()


def test_a_hostile_notebook_in_the_real_frame_runs_nothing_and_sends_nothing(
    browser: Browser, server: Server
) -> None:
    names = [f"hostile-{number}" for number in range(len(INERT))]
    for name, found in zip(names, INERT.values(), strict=True):
        server.shelf.catalogue.draft("bob", name, json.dumps(found).encode(), ABOUT | {"title": name})
        server.shelf.catalogue.publish("bob", name)
    page = signed_in(browser, server, "grace", scripts=True)
    ran: list[str] = []
    left: list[str] = []
    page.context.add_init_script("window.ran = what => console.log('RAN ' + what); window.alert = window.ran;")
    page.on("console", lambda said: ran.append(said.text) if said.text.startswith("RAN") else None)
    page.on("dialog", lambda dialog: ran.append(dialog.message))

    def watch(route: Route) -> None:
        if route.request.url.startswith(server.origin):
            route.continue_()
        else:
            left.append(route.request.url)
            route.abort()

    page.context.route("**/*", watch)
    for name in names:
        page.goto(f"{server.url}community/{name}", wait_until="load")
        inner = page.frames[1]
        inner.wait_for_load_state("load")
        assert inner.locator("h1").first.inner_text() == "A title"
        assert inner.evaluate("() => window.origin") == "null", "the frame has an origin of its own"
        assert len(page.frames) == 2

    assert (ran, left) == ([], [])
    page.context.close()


def test_a_name_that_plays_tricks_leads_nowhere_else(browser: Browser, server: Server, tmp_path: Path) -> None:
    """The names are sent as a browser sends a file's, and come back with the file that a reader downloads."""
    page = signed_in(browser, server, "bob", scripts=True)
    ran: list[str] = []
    page.context.add_init_script("window.ran = what => console.log('RAN ' + what);")
    page.on("console", lambda said: ran.append(said.text) if said.text.startswith("RAN") else None)
    for number, name in enumerate(NAMES):
        page.goto(f"{server.url}community/-/mine")
        page.fill("#name", entry := f"trick-{number}")
        # Playwright's own files would have their folders cut off: this is what a page of somebody else's sends.
        page.evaluate(
            """([name, content]) => {
                const files = new DataTransfer();
                files.items.add(new File([content], name, {type: "application/x-ipynb+json"}));
                document.querySelector("#notebook").files = files.files;
            }""",
            [name, with_figure(number).decode()],
        )
        page.click("text=Send it as a draft")
        if not page.url.endswith("/draft"):
            assert page.locator("[role=alert]").count() == 1, "refused, with the reason"
            continue
        assert page.url == f"{server.url}community/{entry}/draft"
        page.fill("#title", f"Trick {number}")
        page.fill("#abstract", "A notebook whose file has another name than one would think.")
        page.fill("#authors", "Bob")
        page.fill("#licence", "MIT")
        page.click("text=Save, and make it public")
        assert page.url == f"{server.url}community/{entry}"
        with page.expect_download() as loading:
            page.click("a:has-text('Download') >> nth=0")
        called = loading.value.suggested_filename
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9 _.,+()-]*\.ipynb", called), called
        assert (tmp_path / called).resolve().parent == tmp_path
    assert ran == []
    page.context.close()


def test_what_opens_a_frame_is_for_who_may_see_it_and_needs_no_session(browser: Browser, server: Server) -> None:
    page = signed_in(browser, server, "ada")
    page.goto(f"{server.url}community/proper-motions/draft")
    address = page.locator("iframe.notebook").get_attribute("src")
    assert address
    page.context.close()
    with httpx.Client(base_url=server.origin, trust_env=False, timeout=120) as nobody:
        found = nobody.get(address)
        assert found.status_code == 200
        assert "script-src" not in found.headers["content-security-policy"]
        assert found.headers["content-security-policy"].startswith("default-src 'none'")
        assert "set-cookie" not in found.headers
        given = parse_qs(urlsplit(address).query)["pass"][0]
        assert nobody.get(f"{PREFIX}community/-/page?pass={given[:-4]}AAAA").status_code == 403
