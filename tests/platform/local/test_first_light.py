"""The whole path in a browser: sign in, pick a size, run the welcome notebook, read the charge."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.support.browser import chromium, sign_in, take
from tests.support.person import Person
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(900)
def test_from_sign_in_to_a_charge(platform: Platform) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        sign_in(page, platform.url, "ada")
        page.wait_for_url(re.compile(r"/hub/(spawn|home|spawn-pending)"))
        page.goto(f"{platform.url}/hub/spawn")

        # The form offers the tier's sizes, each with its price and what the balance buys, and no other.
        form = page.locator("#spawn_form")
        expect(form).to_contain_text("Explorer")
        expect(form).to_contain_text(
            re.compile(r"Small, 1 core, 4 GB: 0\.04 credits an hour, about [\d,]+ hours left")
        )
        tiers = yaml.safe_load((ROOT / "hub_config" / "tiers.yaml").read_text())
        others = tiers["sizes"].keys() - set(tiers["tiers"]["explorer"]["sizes"])
        assert others
        for size in others:
            title = re.compile(rf"^\s*{tiers['sizes'][size]['title']}\b")
            expect(page.get_by_role("radio", name=title)).to_have_count(0)
        take(page, "spawn-form")
        page.get_by_role("radio", name=re.compile("Small")).check()
        page.locator("#spawn_form [type=submit]").click()

        # Lab opens, and the welcome notebook is in the new home, with the Roman kernel.
        page.wait_for_url(re.compile(r"/user/ada/lab"), timeout=180_000)
        page.goto(f"{platform.url}/user/ada/lab/tree/welcome.ipynb")
        expect(page.get_by_role("button", name="Roman", exact=False).first).to_be_visible(timeout=60_000)
        # Lab forgets what it is told to run before the kernel is ready.
        expect(page.get_by_text("Roman | Idle")).to_be_visible(timeout=60_000)
        take(page, "lab")
        _run_all_cells(page)
        take(page, "welcome-notebook")
        ada = Person(platform.url, "ada")
        ada.sign_in()
        cells = _saved_cells(ada)
        problems = [
            output for cell in cells for output in cell.get("outputs", []) if output["output_type"] == "error"
        ]
        assert not problems, problems
        assert all(
            cell["execution_count"] for cell in cells if cell["cell_type"] == "code" and cell["source"].strip()
        )

        # The portal shows what runs now; after the stop, the charge.
        page.goto(f"{platform.url}/services/portal/")
        expect(page.locator("main")).to_contain_text("Small")
        expect(page.locator("main")).to_contain_text("Explorer")
        take(page, "portal-running")
        # The button works once the page's scripts have been loaded.
        page.goto(f"{platform.url}/hub/home", wait_until="networkidle")
        page.click("#stop")
        expect(page.locator("#stop")).to_be_hidden(timeout=60_000)
        page.goto(f"{platform.url}/services/portal/")
        expect(page.locator("main")).to_contain_text("Small server")
        take(page, "portal-charged")
    entries = ada.web.get(
        "/services/portal/api/statement", headers={"Authorization": f"token {ada.token()}"}
    ).json()
    charges = [entry for entry in entries["entries"] if entry["kind"] == "charge"]
    # The server's, and one for each Dask worker that the notebook ran.
    assert len(charges) >= 2, entries
    assert all(Decimal(charge["amount"]) < 0 for charge in charges)


def _run_all_cells(page: Page) -> None:
    """Lab's own menu: Run, Run All Cells; then wait until the last cell has run, and save."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    # A cell that waits or runs shows [*].
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.innerText);
            return prompts.length > 0 && !prompts.some(text => text.includes('*')) &&
                prompts.some(text => /\\d/.test(text));
        }""",
        timeout=300_000,
    )
    page.keyboard.press("Control+s")
    page.wait_for_selector(".lm-TabBar-tab.jp-mod-dirty", state="detached")


def _saved_cells(ada: Person) -> list[dict[str, Any]]:
    """The notebook's cells as Lab saved them."""
    answer = ada.web.get("/user/ada/api/contents/welcome.ipynb", headers={"Authorization": f"token {ada.token()}"})
    cells: list[dict[str, Any]] = answer.json()["content"]["cells"]
    return cells
