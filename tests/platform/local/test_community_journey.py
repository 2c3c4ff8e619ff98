"""A notebook on a real platform, in a browser: shared by one person, reviewed by a curator, run by another."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium, sign_in, take
from tests.support.person import Person
from tests.support.platform import Platform

#: How long a start or an answer may take on a busy machine, in milliseconds.
PATIENCE = 180_000


def at(browser: Browser, platform: Platform, name: str) -> Page:
    """Somebody's browser, signed in."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    sign_in(page, platform.url, name)
    return page


def test_a_notebook_is_published_found_reviewed_copied_and_run(platform: Platform) -> None:
    author, curator = Person(platform.url, "annie"), Person(platform.url, "cecilia")
    author.sign_in()
    curator.sign_in()
    admin = Person(platform.url, "admin", platform.admin_password)
    admin.sign_in()
    admin.api("POST", "/groups/community-curators").raise_for_status()
    members = {"users": [curator.name]}
    admin.api("POST", "/groups/community-curators/users", json=members).raise_for_status()
    assert author.start_server(size="small").is_success
    code = "brightness = [1, 2, 4, 8]\nprint('the sum is', sum(brightness))"
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": code, "outputs": [], "execution_count": None}
    kernel = {"name": "roman", "display_name": "Roman", "language": "python"}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": [cell]}
    author.web.put(
        "/user/annie/api/contents/cepheids.ipynb",
        json={"type": "notebook", "format": "json", "content": content},
        headers={"Authorization": f"token {author.token()}"},
    ).raise_for_status()

    entry = f"{platform.url}/services/portal/community/cepheids"
    with chromium() as browser:
        # Annie shares it from Lab, looks at the draft, and makes it public.
        annie = at(browser, platform, "annie")
        annie.goto(f"{platform.url}/user/annie/lab/tree/cepheids.ipynb?reset")
        expect(annie.get_by_text("Roman | Idle")).to_be_visible(timeout=PATIENCE)
        annie.locator('.jp-NotebookPanel-toolbar [data-command="romanhub:share"]').click()
        form = annie.locator(".romanhub-share")
        said = {
            "title": "Brightness of Cepheids", "abstract": "Adds the brightness of the Cepheids in a field.",
            "authors": "Annie Cannon", "licence": "BSD-3-Clause", "tags": "variables",
        }  # fmt: skip
        for name, value in said.items():
            form.locator(f"[name={name}]").fill(value)
        annie.get_by_role("button", name="Send the draft").click()
        expect(annie.get_by_text("Draft 1 of cepheids is in the catalogue").first).to_be_visible(timeout=PATIENCE)
        annie.goto(f"{entry}/draft")
        annie.get_by_role("button", name="Save, and make it public").click()
        expect(annie.get_by_role("heading", level=1)).to_have_text("Brightness of Cepheids", timeout=PATIENCE)

        # A curator reviews it.
        cecilia = at(browser, platform, "cecilia")
        cecilia.goto(entry)
        review = cecilia.locator("details.act", has=cecilia.locator("summary", has_text="Review"))
        review.locator("summary").click()
        review.get_by_role("button", name="Review").click()
        expect(cecilia.locator("p.marks")).to_contain_text("reviewed", timeout=PATIENCE)
        assert annie.goto(entry)
        expect(annie.locator("details.act summary", has_text="Review")).to_have_count(0)

        # Henrietta finds it, opens a copy in a server that is started for it, and runs it.
        henrietta = at(browser, platform, "henrietta")
        henrietta.goto(f"{platform.url}/services/portal/community")
        henrietta.locator("#q").fill("cepheids")
        henrietta.get_by_role("button", name="Search").click()
        henrietta.get_by_role("link", name="Brightness of Cepheids").first.click()
        henrietta.get_by_role("link", name="Open a copy").click()
        henrietta.get_by_role("button", name="Start").click()
        henrietta.wait_for_url("**/user/henrietta/lab/tree/cepheids.ipynb")
        expect(henrietta.get_by_text("Roman | Idle")).to_be_visible(timeout=PATIENCE)
        henrietta.get_by_role("menuitem", name="Run", exact=True).click()
        henrietta.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        expect(henrietta.locator(".jp-OutputArea-output")).to_have_text("the sum is 15", timeout=PATIENCE)
        take(henrietta, "journey-run")
    for name in ("annie", "henrietta"):
        person = Person(platform.url, name)
        person.sign_in()
        person.stop_server()
