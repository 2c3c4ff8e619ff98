"""A real Chromium, for tests that look at what a person sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]

#: Where the screenshots of a test run are kept, to be looked at.
SCREENSHOTS = ROOT / "build" / "screenshots"

#: Without these, Chromium asks addresses outside this machine for updates and the like.
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

#: The two widths that every page is looked at in, in CSS pixels.
WIDTHS = {"wide": 1280, "narrow": 390}


def find_chromium() -> str:
    """Chromium's path; skips the test, with a line that says so, where there is none (never in CI)."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    reason = "no Chromium found, and none can be installed without root: browser tests are skipped"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def chromium(*more: str) -> Iterator[Browser]:
    """A running Chromium without a window, started with more arguments where a test needs them."""
    executable = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*QUIET, *more])
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, url: str, name: str, password: str = "a long password") -> None:
    """Fill in the sign-in form as a person does."""
    page.goto(f"{url}/hub/login")
    page.fill("#username_input", name)
    page.fill("#password_input", password)
    page.click("#login_submit")


def take(page: Page, name: str) -> None:
    """Keep a screenshot of the page at both widths."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    for width_name, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=str(SCREENSHOTS / f"{name}-{width_name}.png"), full_page=True)
    if size:
        page.set_viewport_size(size)
