"""Take the pictures of the community's pages from a platform that runs.

As `take.py` beside it, with a platform that looks often what is to be run, and where nothing is shared yet:

    echo "survey_seconds: 1" > runs.yaml
    ROMANHUB_RUNS=$PWD/runs.yaml make run
    state/env/tests/bin/python docs/pictures/take_community.py http://127.0.0.1:8000

It signs in as a new user, runs the welcome notebook in Lab, opens the dialog that shares it, stops the server,
publishes that notebook and two small ones by the portal's pages, and waits until the platform has run all three.
One of the small ones fails, and its card says so.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Page, expect, sync_playwright
from take import (
    QUIET,
    START_LIMIT,
    WINDOW,
    _chromium,
    _run_the_notebook,
    _sign_in,
    _start,
    _take,
)

#: How long the platform may take to run all of them, in seconds.
RUNS_LIMIT = 900

#: What is said of each entry, in the order in which they are published.
ABOUT: dict[str, dict[str, str]] = {
    "stack-four-exposures": {
        "title": "From a position to a stack",
        "abstract": "Finds every exposure of a place on the sky, stacks them, and measures how much deeper the "
        "stack is than each of them.",
        "tags": "stacking, photometry",
        "datasets": "roman-sim",
    },
    "light-curves": {
        "title": "Light curves of variable stars",
        "abstract": "Folds the light curve of a variable star with the period that fits it best.",
        "tags": "time-domain",
        "datasets": "roman-sources",
    },
    "colours-of-galaxies": {
        "title": "Colours of galaxies",
        "abstract": "Compares the colours of galaxies in two filters with a model of their stars.",
        "tags": "photometry, galaxies",
        "datasets": "roman-sources",
    },
}

#: The small notebooks; the second one asks for a filter that there is not.
SMALL = {
    "light-curves": ("import numpy as np", "period = 0.7\nphase = np.linspace(0, 3, 200) % period / period"),
    "colours-of-galaxies": (
        'magnitudes = {"F106": 23.1, "F158": 22.4}',
        'magnitudes["F062"] - magnitudes["F158"]',
    ),
}


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description="Take the pictures of the community's pages.")
    parser.add_argument("url", help="where people sign in, such as http://127.0.0.1:8000")
    parser.add_argument("--user", default="vera", help="the new user's name, which the pictures show")
    parser.add_argument("--chromium", default=_chromium(), help="Chromium's path, where it is not on the PATH")
    arguments = parser.parse_args()
    if not arguments.chromium:
        parser.error("no Chromium found: name one with --chromium")
    url, user = arguments.url, arguments.user
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=QUIET)
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(START_LIMIT)
        _sign_in(page, url, user)
        _start(page)
        _run_the_notebook(page, url, user)
        _open_the_dialog(page)
        _take(page, "share")
        page.get_by_role("button", name="Cancel").click()
        ran = page.request.get(f"{url}/user/{user}/api/contents/welcome.ipynb").json()["content"]
        page.goto(f"{url}/hub/home")
        page.click("#stop")
        expect(page.locator("#stop")).to_be_hidden(timeout=START_LIMIT)
        for name, about in ABOUT.items():
            _publish(page, url, name, about, ran if name not in SMALL else _small(name))
        _wait_for_the_runs(page, url)
        page.goto(f"{url}/services/portal/community")
        _take(page, "gallery", height=900)
        page.goto(f"{url}/services/portal/community/stack-four-exposures")
        _take(page, "entry", height=1250)
        page.goto(f"{url}/services/portal/community/colours-of-galaxies")
        page.locator("#proof").scroll_into_view_if_needed()
        path = Path(__file__).with_name("failed.png")
        page.locator("section[aria-labelledby=proof]").screenshot(path=str(path))
        print(f"{path} {path.stat().st_size / 1000:.0f} kB")
        browser.close()


def _open_the_dialog(page: Page) -> None:
    page.locator('.jp-NotebookPanel-toolbar [data-command="romanhub:share"]').click()
    form = page.locator(".romanhub-share")
    expect(form.locator("[name=authors]")).not_to_have_value("", timeout=START_LIMIT)
    about = ABOUT["stack-four-exposures"]
    form.locator("[name=title]").fill(about["title"])
    form.locator("[name=abstract]").fill(about["abstract"])
    form.locator("[name=authors]").fill("Vera Rubin 0000-0002-1825-0097")
    form.locator("[name=licence]").fill("BSD-3-Clause")
    form.locator("[name=tags]").fill(about["tags"])
    form.locator("[name=title]").focus()


def _small(name: str) -> dict[str, Any]:
    cells = [nbformat.v4.new_markdown_cell(f"# {ABOUT[name]['title']}")]
    cells += [nbformat.v4.new_code_cell(source) for source in SMALL[name]]
    return dict(nbformat.v4.new_notebook(cells=cells))


def _publish(page: Page, url: str, name: str, about: dict[str, str], notebook: dict[str, Any]) -> None:
    """Send a notebook on the page of one's entries, say what it is, and make it public."""
    page.goto(f"{url}/services/portal/community/-/mine")
    content = json.dumps(notebook).encode()
    page.set_input_files(
        "#notebook", {"name": f"{name}.ipynb", "mimeType": "application/x-ipynb+json", "buffer": content}
    )
    page.click("text=Send it as a draft")
    expect(page.locator("#abstract")).to_be_visible(timeout=START_LIMIT)
    for field, text in about.items():
        page.fill(f"#{field}", text)
    page.fill("#authors", "Vera Rubin; 0000-0002-1825-0097")
    page.fill("#licence", "BSD-3-Clause")
    page.click("text=Save, and make it public")
    page.wait_for_url(f"**/community/{name}", timeout=START_LIMIT)


def _wait_for_the_runs(page: Page, url: str) -> None:
    deadline = time.monotonic() + RUNS_LIMIT
    while time.monotonic() < deadline:
        page.goto(f"{url}/services/portal/community?status=never")
        if page.locator("li.entry").count() == 0:
            return
        page.wait_for_timeout(2000)
    raise SystemExit("The platform did not run every notebook: look at its page, and at runner.log.")


if __name__ == "__main__":
    main()
