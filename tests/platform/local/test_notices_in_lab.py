"""What the platform tells somebody who is at work in Lab, on a real platform and in a browser."""

from __future__ import annotations

from hubquota.models.money import to_units
from hubquota.services.ledger import Ledger
from hubquota.storage.engine import make_engine
from playwright.sync_api import expect

from tests.support.browser import chromium, sign_in, take
from tests.support.person import Person
from tests.support.platform import Platform

#: How long a warning may take on a busy machine, in milliseconds: a pass of the watch, and a question of Lab's.
PATIENCE = 240_000


def test_lab_warns_before_the_credits_end_the_server(platform: Platform) -> None:
    nancy = Person(platform.url, "nancy")
    nancy.sign_in()
    assert nancy.start_server(size="small").is_success
    ledger = Ledger(make_engine(f"sqlite:///{platform.state / 'private' / 'ledger.sqlite'}"))
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, platform.url, "nancy")
        page.goto(f"{platform.url}/user/nancy/lab?reset")
        expect(page.locator(".jp-Launcher").first).to_be_visible(timeout=PATIENCE)
        left = ledger.statement("nancy").balance.available
        ledger.correct("nancy", to_units("0.02") - left, actor="admin", reason="A mistake.", key="nancy")

        warned = page.locator(".Toastify__toast", has_text="will be stopped")
        expect(warned).to_be_visible(timeout=PATIENCE)
        take(page, "warned-in-lab")
        # The word leads to the page on which it is marked as seen. Nobody is told twice.
        with page.context.expect_page() as opened:
            warned.get_by_role("button", name="Read more").click()
        opened.value.wait_for_url(f"{platform.url}/services/portal/notices")
        expect(opened.value.get_by_text("Save your work before then.").first).to_be_visible()
    nancy.stop_server()
