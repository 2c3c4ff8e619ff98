"""Take the pictures of the documentation from a platform that runs.

Start one (`make run`), then, in another terminal, run this in the test environment, which `make test` makes:

    state/env/tests/bin/python docs/pictures/take.py http://127.0.0.1:8000

It signs in as a new user of local accounts, starts a server, runs the welcome notebook from top to bottom, makes a
Dask cluster in Lab's panel and ends it, and stops the server again. The platform keeps the user; `romanhub clean`
removes it with the rest.
"""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

FOLDER = Path(__file__).resolve().parent

#: The window in CSS pixels: wide enough for Lab with its file browser, as on a laptop.
WINDOW = {"width": 1280, "height": 860}

#: How long a server may take to start, and the notebook to run, in milliseconds. A busy machine is slow.
START_LIMIT, RUN_LIMIT = 180_000, 600_000

#: The figure that the picture of the notebook shows: the one above this heading.
BELOW_THE_FIGURE = "Measure what the stack gained"

#: How far from the window's top that heading then is, in CSS pixels.
HEADING_AT = 690

#: Without these, Chromium asks addresses outside this machine for updates and the like.
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description="Take the pictures of the documentation from a running platform.")
    parser.add_argument("url", help="where people sign in, such as http://127.0.0.1:8000")
    parser.add_argument("--user", default="vera", help="the new user's name, which the pictures show")
    parser.add_argument("--chromium", default=_chromium(), help="Chromium's path, where it is not on the PATH")
    arguments = parser.parse_args()
    if not arguments.chromium:
        parser.error("no Chromium found: name one with --chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=QUIET)
        page = browser.new_page(viewport=WINDOW)
        _sign_in(page, arguments.url, arguments.user)
        _take(page, "form", height=420)
        _start(page)
        _run_the_notebook(page, arguments.url, arguments.user)
        _take(page, "welcome")
        _open_a_cluster(page)
        _take(page, "dask")
        page.goto(f"{arguments.url}/services/portal/clusters")
        _take(page, "clusters", height=620)
        _end_the_cluster(page, arguments.url, arguments.user)
        page.goto(f"{arguments.url}/hub/home")
        page.click("#stop")
        expect(page.locator("#stop")).to_be_hidden(timeout=START_LIMIT)
        page.goto(f"{arguments.url}/services/portal/")
        _take(page, "account", height=985)
        browser.close()


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def _sign_in(page: Page, url: str, user: str) -> None:
    """Sign in as a new user and open the form of sizes."""
    page.goto(f"{url}/hub/login?next=/hub/spawn")
    page.fill("#username_input", user)
    # Nobody needs it again: each run wants a user of its own, whose account is still empty.
    page.fill("#password_input", secrets.token_urlsafe(12))
    page.click("#login_submit")
    expect(page.locator("#spawn_form")).to_be_visible()


def _start(page: Page) -> None:
    """Start the size that the form has chosen, and wait for Lab."""
    page.click("#spawn_form [type=submit]")
    page.wait_for_url(re.compile("/lab"), timeout=START_LIMIT)


def _run_the_notebook(page: Page, url: str, user: str) -> None:
    """Run every cell, then bring the figure of the stack into view."""
    page.goto(f"{url}/user/{user}/lab/tree/welcome.ipynb")
    # What is run before the notebook has its kernel, Lab forgets.
    expect(page.get_by_text("Roman | Idle")).to_be_visible(timeout=START_LIMIT)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    # Lab goes to the last cell; its number appears once it has run, and it runs last.
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(last).to_have_text(re.compile(r"\[\d+\]"), timeout=RUN_LIMIT)
    if page.locator('[data-mime-type="application/vnd.jupyter.error"]').count():
        raise SystemExit("A cell of the notebook failed: look at it in Lab.")
    page.keyboard.press("Control+s")
    # Lab keeps only the cells near the view in the page, and moves them as their figures come: so go up in small
    # steps until the heading below the figure stands where it should, and stays there.
    heading = page.get_by_role("heading", name=BELOW_THE_FIGURE)
    page.mouse.move(WINDOW["width"] / 2, WINDOW["height"] / 2)
    for _ in range(300):
        box = heading.bounding_box() if heading.count() else None
        distance = HEADING_AT - box["y"] if box else 400
        if abs(distance) <= 5:
            break
        page.mouse.wheel(0, -min(400, max(-400, distance)))
        page.wait_for_timeout(300)
    else:
        raise SystemExit(f"The notebook has no heading {BELOW_THE_FIGURE!r} any more: change it here too.")
    page.mouse.move(WINDOW["width"] - 5, 5)
    page.wait_for_timeout(500)


def _open_a_cluster(page: Page) -> None:
    """Make a cluster in the Dask panel of Lab, and scale it to two workers."""
    page.locator(".lm-TabBar-tab[data-id='dask-dashboard-launcher']").click()
    page.get_by_title("Start New Dask Cluster").click()
    cluster = page.locator(".dask-ClusterListingItem")
    expect(cluster).to_be_visible(timeout=START_LIMIT)
    cluster.get_by_role("button", name="Scale").click()
    page.locator(".jp-Dialog input[type=number]").first.fill("2")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(cluster).to_contain_text("Number of Workers: 2", timeout=START_LIMIT)
    page.get_by_role("button", name="Workers", exact=True).click()
    cluster.scroll_into_view_if_needed()
    # The cluster's cost is asked for every 15 seconds.
    expect(cluster).to_contain_text("0.08 credits/h", timeout=START_LIMIT)


def _end_the_cluster(page: Page, url: str, user: str) -> None:
    """Shut the cluster down in the panel."""
    page.goto(f"{url}/user/{user}/lab")
    page.locator(".lm-TabBar-tab[data-id='dask-dashboard-launcher']").click()
    cluster = page.locator(".dask-ClusterListingItem")
    cluster.get_by_role("button", name="Shutdown").click()
    expect(cluster).to_have_count(0, timeout=START_LIMIT)


def _take(page: Page, name: str, *, height: int | None = None) -> None:
    """Write one picture: the window, or as much of the page as a height in CSS pixels says."""
    page.set_viewport_size({**WINDOW, "height": height or WINDOW["height"]})
    path = FOLDER / f"{name}.png"
    page.screenshot(path=str(path))
    page.set_viewport_size(WINDOW)
    print(f"{path} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
