"""Sign-in through an institution, by clicking in a real browser."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.platform.sign_in.sites import Site
from tests.support.browser import chromium, take


def test_a_person_signs_in_and_out_by_clicking(site: Site) -> None:
    site.newcomer("vera", name="Vera Rubin")
    with chromium() as browser:
        page = browser.new_page()
        page.goto(site.hub.url)
        take(page, "institution-button")
        page.get_by_role("button", name="Sign in with Example University").click()

        page.get_by_label("Name").fill("vera")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")

        page.get_by_label("Name").fill("vera")
        page.get_by_label("Password").fill("password of vera")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{site.hub.url}/hub/home")
        expect(page.get_by_text("vera", exact=True)).to_be_visible()

        page.get_by_role("button", name="Logout").click()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"{site.hub.url}/hub/login")
        expect(page.get_by_role("button", name="Sign in with Example University")).to_be_visible()


def test_a_person_without_access_reads_why_and_can_use_another_account(site: Site) -> None:
    site.newcomer("visitor", groups=["visitors"])
    site.newcomer("cecilia")
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{site.hub.url}/hub/oauth_login")
        page.get_by_label("Name").fill("visitor")
        page.get_by_label("Password").fill("password of visitor")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="403 : Forbidden")).to_be_visible()
        expect(page.get_by_text("for members of roman-users or roman-admins only")).to_be_visible()
        take(page, "institution-refused")

        page.get_by_role("link", name="sign out of Example University").click()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Sign in with Example University").click()
        page.get_by_label("Name").fill("cecilia")
        page.get_by_label("Password").fill("password of cecilia")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{site.hub.url}/hub/home")
