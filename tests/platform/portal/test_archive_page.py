"""The archive's search page, with the real search service over the sample and in a real browser.

The storage of the previews is the sample's folder, read as the broker's keys would let it be read: for ada only.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFile
from hubquota.storage.engine import make_engine
from hubquota.storage.migrate import migrate
from playwright.sync_api import Browser, Page, expect
from romanhub.asdf_blocks import FileSource
from romanhub.client.sky import separation, unit_vectors
from romanhub.discovery.app import create_app as create_search
from romanhub.discovery.index import build
from romanhub.discovery.settings import DiscoverySettings
from romanhub.discovery.sources import FolderSource
from romanhub.discovery.store import Place
from romanhub.models.archive import ArchiveIndex
from romanhub.portal.app import create_app
from romanhub.portal.archivedoors import ArchiveDoors
from romanhub.portal.hub import HubClient
from romanhub.portal.imagesearch import ImageSearch
from romanhub.portal.previews import Previews
from romanhub.portal.searching import ConditionError, Form, understood
from romanhub.portal.settings import PortalSettings
from romanhub.sample import small_archive
from romanhub.services.datasetsfile import DatasetsFile

from tests.platform.portal.world import PREFIX, ROOT, SERVICE_TOKEN, TIERS, Clock, HubStandIn, token_of
from tests.support.browser import WIDTHS, chromium, take
from tests.support.ports import free_port

SCOPES = ("access:services!service=portal", "access:services!service=archive")
INDEX = ArchiveIndex.model_validate_json((small_archive() / "index.json").read_bytes())
#: Stands for the viewer where the npm package is not installed: what the page asks of it, and nothing drawn.
STAND_IN = """
export default {
  init: Promise.resolve(),
  aladin(place, options) {
    window.options = options;
    const on = (what, call) => { window.clickOn = (n) => call(window.shapes[n]); };
    return {addOverlay() {}, on};
  },
  graphicOverlay: () => ({add(shape) { (window.shapes ||= []).push(shape); }}),
  polygon: (corners, options) => ({corners, color: options.color, setColor(color) { this.color = color; }}),
};
"""


#: Installs the viewer itself, and says where it is.
INSTALL_VIEWER = """
from romanhub.local.layout import State, default_state
from romanhub.local.node_packages import ensure_viewer, viewer_file
from romanhub.local.screen import Screen
ensure_viewer(State(default_state()), screen=Screen())
print(viewer_file(State(default_state())))
"""


@dataclass
class Site:
    url: str
    read: list[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The portal, with what stands for the viewer."""
    viewer = tmp_path_factory.mktemp("viewer") / "aladin.js"
    viewer.write_text(STAND_IN)
    with running_site(tmp_path_factory.mktemp("archive-page"), viewer) as site:
        yield site


@contextmanager
def running_site(folder: Path, viewer: Path) -> Iterator[Site]:
    """A portal over a real search service with the sample in it."""
    datasets = DatasetsFile(str(ROOT / "hub_config" / "datasets.yaml"))
    place = Place(folder / "search")
    build(
        datasets.current(),
        FolderSource(small_archive(), one_for_all=True),
        place,
        now=datetime.now(UTC),
        report=lambda _said: None,
    )
    clock, hub = Clock(), HubStandIn()
    hub.add("ada", scopes=SCOPES)
    hub.add("bob", scopes=SCOPES[:1])
    http = httpx.AsyncClient(transport=httpx.MockTransport(hub.answer))
    found = DiscoverySettings.from_environment(
        {
            "JUPYTERHUB_API_TOKEN": SERVICE_TOKEN,
            "ROMANHUB_SEARCH_URL": "http://search.test/services/archive/",
            "ROMANHUB_DATASETS": str(ROOT / "hub_config" / "datasets.yaml"),
            "ROMANHUB_SEARCH_FOLDER": str(folder / "search"),
            "ROMANHUB_SEARCH_JOBS": str(folder / "jobs"),
        }
    )
    service = create_search(found, hub=HubClient(found.hub, http), datasets=datasets, clock=clock)
    search = httpx.AsyncClient(transport=httpx.ASGITransport(app=service))
    url = f"sqlite:///{folder}/ledger.sqlite"
    engine = make_engine(url)
    migrate(engine)
    settings = PortalSettings.from_environment(
        {
            "JUPYTERHUB_API_TOKEN": SERVICE_TOKEN,
            "HUBQUOTA_DATABASE_URL": url,
            "HUBQUOTA_TIERS": str(TIERS),
            "ROMANHUB_SKY_VIEWER": str(viewer),
        }
    )
    read: list[str] = []

    def give(token: str, dataset: str) -> FileSource:
        if token != token_of("ada"):
            raise OSError("You may not read it.")
        read.append(dataset)
        return FileSource(small_archive())

    app = create_app(
        settings,
        ledger=Ledger(engine, clock),
        tiers=TiersFile(TIERS),
        hub=HubClient(settings.hub, http),
        clock=clock,
        archive=ArchiveDoors(ImageSearch("http://search.test/services/archive/", search), Previews(give)),
    )
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False).get(f"http://127.0.0.1:{port}/")
        yield Site(f"http://127.0.0.1:{port}{PREFIX}", read)
    finally:
        running.should_exit = True
        thread.join()
        engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # WebGL by the processor, for the viewer of the sky.
    with chromium("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist") as running:
        yield running


def opened(
    browser: Browser, site: Site, path: str, who: str = "ada", *, scripts: bool = True
) -> tuple[Page, list]:
    """Open a page; the second is everything that the browser asked for, and what it complained of."""
    context = browser.new_context(java_script_enabled=scripts)
    context.add_cookies(
        [{"name": "romanhub-portal", "value": token_of(who), "url": site.url, "httpOnly": True, "sameSite": "Lax"}]
    )
    page = context.new_page()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(f"request {request.url}"))
    page.on("console", lambda message: seen.append(f"console {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"error {error}"))
    page.goto(f"{site.url}{path}")
    return page, seen


SEARCH = "archive?position=270.0+66.0&radius=0.5&unit=arcmin"


def test_a_search_shows_what_covers_the_place_with_previews_and_without_scripts(browser, site) -> None:
    page, _ = opened(browser, site, "archive", scripts=False)
    page.fill("#position", "18h00m00s +66d00m00s")
    page.select_option("#element", "F158")
    page.select_option("#level", "2")
    page.fill("#before", "2027-06-03")
    page.click("button:has-text('Search')")

    names = page.locator("table.images tbody .name").all_inner_texts()
    expected = [
        record.name
        for record in INDEX.exposures
        if record.level == 2
        and record.optical_element == "F158"
        and record.start < datetime(2027, 6, 3, tzinfo=UTC)
    ]
    assert names == expected
    assert page.input_value("#position") == "18h00m00s +66d00m00s", "what was asked stays in the form"
    pictures = page.locator("img.preview")
    assert pictures.count() == 2
    take(page, "portal-archive-without-scripts")
    link = page.locator("a:has-text('Open in a notebook')").get_attribute("href") or ""
    assert link.startswith("/hub/user-redirect/romanhub/notebook?")
    assert "ra=270.0" in link
    assert "filter=F158" in link
    page.context.close()


def test_the_sky_and_the_table_choose_each_other_and_nothing_is_asked_elsewhere(browser, site) -> None:
    page, seen = opened(browser, site, SEARCH)
    page.locator("#sky[data-ready]").wait_for()
    rows = page.locator("table.images tbody tr")
    assert rows.count() == len(page.evaluate("window.shapes")) == 9

    page.evaluate("window.clickOn(3)")
    assert "chosen" in (rows.nth(3).get_attribute("class") or "")
    assert page.evaluate("document.activeElement.textContent") == rows.nth(3).get_attribute("data-name")

    page.keyboard.press("ArrowDown")
    assert page.locator("tr.chosen").get_attribute("data-name") == rows.nth(4).get_attribute("data-name")
    assert page.evaluate("window.shapes.map(one => one.color)").count("#ff5c5c") == 1
    page.keyboard.press("Enter")
    assert page.locator("tr.chosen").count() == 0, "pressed again, it is let go"

    page.locator("img.preview").first.scroll_into_view_if_needed()
    assert page.evaluate("window.options.survey") == []
    origin = site.url.removesuffix(PREFIX)
    outside = [one for one in seen if not re.match(rf"request ({re.escape(origin)}/|data:|blob:)", one)]
    assert outside == []
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 800})
        inside, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert inside <= window
    page.context.close()


def to_the_right(shape: float) -> float:
    """How far the mosaic's western edge is right of the middle of the view, as a share of the view's width.

    The view is centred on the mean of all corners and is 2.2 times as high as the farthest of them is away.
    """
    shown = [one for one in INDEX.exposures if not one.name.startswith("r0010101005")]
    corners = unit_vectors(*np.transpose([corner for one in shown for corner in one.footprint]))
    middle = corners.sum(axis=0) / np.linalg.norm(corners.sum(axis=0))
    across = 2.2 * np.degrees(separation(corners, middle).max()) * shape
    ra, dec = np.degrees(np.arctan2(middle[1], middle[0])) % 360, np.arcsin(middle[2])
    (mosaic,) = (one for one in shown if one.level == 3)
    west = min(corner[0] for corner in mosaic.footprint)
    return float((ra - west) * np.cos(dec) / across)


@pytest.fixture(scope="module")
def viewer() -> Path:
    """The viewer itself, from its lock, installed by the environment that serves it."""
    hub = Path(os.environ["ROMANHUB_TEST_HUB_BIN"]) / "python"
    done = subprocess.run([hub, "-c", INSTALL_VIEWER], check=True, capture_output=True, text=True)
    return Path(done.stdout.splitlines()[-1])


def test_the_viewer_draws_the_footprints_and_asks_nobody(tmp_path: Path, viewer: Path, browser) -> None:
    with running_site(tmp_path, viewer) as site:
        page, seen = opened(browser, site, SEARCH)
        page.set_viewport_size({"width": 1280, "height": 1000})
        page.locator("#sky[data-ready]").wait_for(timeout=120_000)
        page.locator("button.pick").nth(1).click()
        for image in page.locator("img").all():
            expect(image).to_have_js_property("complete", True)
        take(page, "portal-archive")
        # A click on the mosaic's western edge, at the height of the view's middle, chooses its row.
        page.locator("button.pick").nth(1).click()
        assert page.locator("tr.chosen").count() == 0
        page.locator("#sky").scroll_into_view_if_needed()
        box = page.locator("#sky").bounding_box()
        assert box
        x = box["x"] + box["width"] / 2 + to_the_right(box["width"] / box["height"]) * box["width"]
        page.mouse.move(x - 20, box["y"] + box["height"] / 2)
        page.mouse.move(x, box["y"] + box["height"] / 2)
        page.mouse.click(x, box["y"] + box["height"] / 2)
        page.locator("tr.chosen").wait_for()
        assert page.locator("tr.chosen").get_attribute("data-level") == "3"
        origin = site.url.removesuffix(PREFIX)
        # A driver that draws by the processor says how slow it is.
        ours = rf"request ({re.escape(origin)}/|data:|blob:)|console \[\.WebGL.*Performance"
        assert [one for one in seen if not re.match(ours, one)] == []


def test_only_this_page_runs_scripts_and_only_its_own(browser, site) -> None:
    client = httpx.Client(cookies={"romanhub-portal": token_of("ada")}, trust_env=False)
    policy = client.get(f"{site.url}{SEARCH}").headers["content-security-policy"]
    other = client.get(f"{site.url}archive").headers["content-security-policy"]
    account = client.get(site.url).headers["content-security-policy"]

    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    nonce, dynamic, wasm = directives["script-src"].split()
    assert re.fullmatch(r"'nonce-[\w-]{20,}'", nonce)
    assert nonce not in other, "each answer has a word of its own"
    assert (dynamic, wasm) == ("'strict-dynamic'", "'wasm-unsafe-eval'")
    assert "http" not in directives["connect-src"]
    assert "allow-same-origin" not in directives["sandbox"]
    assert "script" not in account


def test_a_preview_is_of_the_image_and_for_whom_its_page_was_made(site) -> None:
    client = httpx.Client(cookies={"romanhub-portal": token_of("ada")}, trust_env=False)
    text = client.get(f"{site.url}archive?level=3").text
    [address] = re.findall(r'src="([^"]*archive/preview[^"]*)"', text)
    root = site.url.removesuffix(PREFIX)
    plain = httpx.Client(trust_env=False)

    # The page is in an origin of its own, so its pictures are fetched without the cookie.
    answer = plain.get(f"{root}{address}")
    before = len(site.read)
    again = plain.get(f"{root}{address}")
    forged = plain.get(f"{root}{address[:-8]}AAAAAAA=")

    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.content == again.content
    assert len(site.read) == before, "it is made once"
    columns, rows = struct.unpack(">II", answer.content[16:24])
    assert max(columns, rows) <= 256
    assert forged.status_code == 403


def test_somebody_who_may_not_search_is_told_so_by_the_page(browser, site) -> None:
    page, _ = opened(browser, site, SEARCH, who="bob")
    assert "does not answer" in page.locator("[role=alert]").inner_text()
    page.context.close()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("archive?position=M31", "“M31” is not a position"),
        ("archive?radius=3", "A radius needs a position"),
        ("archive?position=1+2&radius=-1", "cannot be the radius"),
        ("archive?element=F999", "Roman has no filter “F999”"),
        ("archive?after=soon", "“soon” is not a time"),
        ("archive?position=10+10", "No image in the archive"),
    ],
)
def test_what_cannot_be_meant_is_said_on_the_page_with_the_form_as_it_was(site, path: str, words: str) -> None:
    client = httpx.Client(cookies={"romanhub-portal": token_of("ada")}, trust_env=False)
    answer = client.get(f"{site.url}{path}")
    assert answer.status_code == 200
    assert words in answer.text


def test_radii_have_units() -> None:
    assert understood(Form(position="1 2", radius="30", unit="arcsec")).radius == pytest.approx(30 / 3600)
    with pytest.raises(ConditionError):
        understood(Form(position="1 2", radius="nan"))
