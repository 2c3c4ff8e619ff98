from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI
from hubquota.models.money import to_units
from hubquota.models.tiers import Tiers
from hubquota.services.ledger import Ledger

from tests.platform.portal.world import PREFIX, Clock, HubStandIn, bearer, open_account, run, start, tell_story

ADMIN = ("access:services!service=portal", "admin-ui")
MINUS = "\N{MINUS SIGN}"


class Reader(HTMLParser):
    """Reads a page as a browser does: its words, its links, what it loads; and whether it is well formed."""

    VOID = frozenset({"meta", "link", "br", "input", "rect", "circle"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: dict[str, str] = {}
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.styled: list[str] = []
        self.feed(page)
        assert self.open == [], "every element is closed"
        assert len(set(self.ids)) == len(self.ids), "no id is there twice"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "link":
            self.loads.append(given["href"] or "")
        self.loads += [given[name] or "" for name in ("src", "srcset", "data") if name in given]
        self.styled += [name for name in given if name == "style" or name.startswith("on")]
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "a":
            self.links[""] = given["href"] or ""

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if text := " ".join(data.split()):
            self.words.append(text)
            if "" in self.links and "a" in self.open:
                self.links[text] = self.links.pop("")

    @property
    def text(self) -> str:
        return " ".join(self.words)


async def visit(web: httpx.AsyncClient, token: str, path: str = "", status: int = 200) -> Reader:
    """Open a page in a browser that is signed in."""
    web.cookies.set("romanhub-portal", token)
    answer = await web.get(
        path if path.startswith("/") else f"{PREFIX}{path}", headers={"Sec-Fetch-Mode": "navigate"}
    )
    assert answer.status_code == status, answer.text
    return Reader(answer.text)


async def test_the_page_answers_why_the_balance_is_what_it_is(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    open_account(ledger, tiers, "ada")
    run(ledger, clock, "ada", label="Medium server", price="0.15", minutes=80 * 60, reason="Stopped by ada.")
    start(ledger, "ada", label="Small server", price="0.04")
    clock.advance(hours=25, minutes=5)

    page = await visit(web, hub.add("ada"))

    assert "36.99 credits left" in page.text
    assert f"After the last grant 2 Nov 2026, 09:00 UTC 50.00 Charged since {MINUS}12.00" in page.text
    assert f"Used by what runs now and not charged yet {MINUS}1.01 Left, in credits 36.99" in page.text
    assert "Why is my balance 36.99?" in page.text
    assert "Allocation 1 (explorer): granted, in 1 line 50.00" in page.text
    assert f"Allocation 1 (explorer): charged, in 1 line {MINUS}12.00" in page.text
    assert (
        f"Medium server Stopped by ada. 2 Nov 2026, 09:00 5 Nov 2026, 17:00 3 d 8 h 0.15 {MINUS}12.00 38.00"
    ) in page.text
    assert "Small server 5 Nov 2026, 17:00 1 d 1 h 0.04 1.01" in page.text
    assert "Grant Budget of the tier explorer, granted when the account was opened. By hubquota." in page.text
    assert page.links["Open Lab"] == "/hub/user-redirect/lab"
    # This platform has no catalogue of the community's, and nothing that runs without a person.
    assert "Archive" in page.links
    assert {"Community", "Your runs"} & page.links.keys() == set()


async def test_a_later_grant_is_where_the_page_counts_from(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    open_account(ledger, tiers, "ada")
    run(ledger, clock, "ada", label="Medium server", price="0.15", minutes=20 * 60, reason="Stopped by ada.")
    ledger.grant("ada", to_units(100), actor="edwin", reason="A second season", key="s2")
    run(ledger, clock, "ada", label="Medium server", price="0.15", minutes=100 * 60, reason="Stopped by ada.")

    page = await visit(web, hub.add("ada"))

    assert (
        f"After the last grant 3 Nov 2026, 05:00 UTC 147.00 Charged since {MINUS}15.00 Left, in credits 132.00"
        in page.text
    )
    assert "Grant A second season. By edwin. 3 Nov 2026, 05:00 +100.00 147.00" in page.text


async def test_before_the_first_start_the_page_says_what_will_be(web: httpx.AsyncClient, hub: HubStandIn) -> None:
    page = await visit(web, hub.add("ada", groups=["roman-researchers"]))

    assert "Your account is opened when you start your first server." in page.text
    assert "It is then granted 500 credits, for a term of 365 days." in page.text
    assert "Researcher (yours)" in page.text
    assert page.links["Start a server"] == "/hub/spawn"


async def test_an_empty_account_is_told_how_to_ask_for_more(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    open_account(ledger, tiers, "ada")
    run(ledger, clock, "ada", label="Huge server", price="1.80", minutes=60 * 60, reason="Stopped by ada.")

    page = await visit(web, hub.add("ada"))

    assert f"{MINUS}58.00 credits left" in page.text
    assert (
        "Nothing is left to start with New servers and Dask workers are refused until there is more. "
        f"Ask for an allocation . {tiers.ask}" in page.text
    )
    assert "Nothing runs, so nothing is being used up." in page.text


async def test_a_stop_that_was_announced_is_shown_beside_what_runs(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    open_account(ledger, tiers, "ada")
    lease = start(ledger, "ada", label="Small server", price="0.04")
    ledger.announce_stop(lease.id, "It is stopped at 18:00, after 1 h without activity.")

    page = await visit(web, hub.add("ada"))

    assert "Small server It is stopped at 18:00, after 1 h without activity." in page.text


async def test_the_history_goes_back_to_the_beginning_and_returns(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    tell_story(ledger, clock, tiers)
    token = hub.add("ada")

    page = await visit(web, token)
    assert "Newest" not in page.links
    seen = 1
    while "Further back" in page.links:
        page = await visit(
            web, token, f"{PREFIX}{page.links['Further back'].partition('#')[0].removeprefix(PREFIX)}"
        )
        seen += 1
        assert page.links["Newest"] == f"{PREFIX}#history"
        assert "391.46 credits left" in page.text, "the balance is today's on every page"

    assert seen == 3
    assert "granted when the account was opened." in page.text


async def test_a_tier_that_was_taken_out_of_the_file_does_not_break_the_page(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger
) -> None:
    ledger.open_account("ada", "pioneer", to_units(10), actor="hubquota")

    page = await visit(web, hub.add("ada"))

    assert "The account is on a tier named pioneer, which this platform no longer has." in page.text
    assert "10.00 credits left" in page.text


async def test_the_tiers_table_says_what_the_file_says(
    web: httpx.AsyncClient, hub: HubStandIn, tiers: Tiers
) -> None:
    page = await visit(web, hub.add("ada"))

    for tier in tiers.tiers.values():
        assert f"{tier.title}" in page.text
        assert f"{tier.budget} credits for {tier.term_days} days" in page.text
        assert f"{tier.dask.workers} workers of {tier.dask.worker_cores} core" in page.text
        assert f"{tier.storage.home_gib} GB home, {tier.storage.scratch_gib} GB scratch" in page.text


async def test_all_accounts_are_for_administrators(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    tell_story(ledger, clock, tiers)
    person, admin = hub.add("cecilia"), hub.add("edwin", scopes=ADMIN)

    for path in ("admin", "admin/accounts/ada", "admin/accounts/nobody"):
        refused = await visit(web, person, path, status=403)
        assert "Only the people who run this platform may read other people's accounts." in refused.text
        assert "All accounts" not in refused.links
        assert "391.46" not in refused.text

    listing = await visit(web, admin, "admin")
    assert "ada Researcher 2 Nov 2026" not in listing.text, "ada's account was opened later"
    assert re.search(r"ada Researcher active \d+ Nov 2026 none 3 391\.46", listing.text)
    one = await visit(web, admin, listing.links["ada"])
    assert "Account of ada" in one.text
    assert "391.46 credits left" in one.text
    assert "Open Lab" not in one.links
    assert (await visit(web, admin, "admin/accounts/nobody", status=404)).links["Your account"] == PREFIX


async def test_a_project_of_ones_own_name_is_not_ones_own(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger
) -> None:
    ledger.open_project("zoe", "researcher", pi="eve", actor="admin")
    ledger.grant("zoe", to_units(4321), actor="admin", reason="A survey.", key="zoe")
    token = hub.add("zoe")
    assert "4321" not in (await visit(web, token)).text
    me = (await web.get(f"{PREFIX}api/me", headers=bearer(token))).json()
    assert (me["tier"], me["balance"]) == ("explorer", None)


async def test_the_list_of_accounts_is_searched_and_turned_over(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, tiers: Tiers
) -> None:
    admin = hub.add("edwin", scopes=ADMIN)
    assert "There are no accounts yet." in (await visit(web, admin, "admin")).text
    for number in range(120):
        open_account(ledger, tiers, f"user-{number:03}")

    first = await visit(web, admin, "admin?q=user")
    second = await visit(web, admin, first.links["Next page"])
    third = await visit(web, admin, second.links["Next page"])

    assert ("user-049" in first.text, "user-050" in first.text) == (True, False)
    assert ("user-050" in second.text, "user-100" in second.text) == (True, False)
    assert "user-119" in third.text
    assert "Next page" not in third.links
    assert third.links["First page"] == f"{PREFIX}admin?q=user"
    assert "No account's name contains \u201czebra\u201d." in (await visit(web, admin, "admin?q=zebra")).text


async def test_what_people_write_never_becomes_part_of_a_page(
    web: httpx.AsyncClient, hub: HubStandIn, ledger: Ledger, clock: Clock, tiers: Tiers
) -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    open_account(ledger, tiers, "ada")
    ledger.grant("ada", 1, actor=evil, reason=evil, key="evil")
    run(ledger, clock, "ada", label=evil, price="0.04", minutes=60, reason=evil)
    admin = hub.add("edwin", scopes=ADMIN)

    for path in (
        "admin/accounts/ada",
        f"admin?q={httpx.QueryParams({'q': evil})['q']}",
        "admin?after=%3Cscript%3E",
    ):
        web.cookies.set("romanhub-portal", admin)
        answer = await web.get(f"{PREFIX}{path}")
        assert answer.status_code == 200
        assert "<script" not in answer.text
        assert "<img" not in answer.text


@pytest.mark.parametrize(
    "path", ["", "admin", "admin/accounts/nobody", "nothing", "logout", "api/me", "api/nothing", "api/health"]
)
async def test_no_answer_can_be_framed_cached_or_made_to_run_things(
    web: httpx.AsyncClient, hub: HubStandIn, path: str
) -> None:
    web.cookies.set("romanhub-portal", hub.add("edwin", scopes=ADMIN))

    headers = (await web.get(f"{PREFIX}{path}")).headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


async def test_pages_load_only_the_portal_s_own_files_and_those_are_kept(
    web: httpx.AsyncClient, hub: HubStandIn
) -> None:
    page = await visit(web, hub.add("ada"))

    assert len(page.loads) == 2
    assert page.styled == []
    for address in page.loads:
        assert address.startswith(f"{PREFIX}static/")
        answer = await web.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert "url(" not in answer.text
    old = await web.get(f"{PREFIX}static/0123456789ab/portal.css")
    assert old.headers["cache-control"] == "no-cache"
    assert (await web.get(f"{PREFIX}static/0123456789ab/..%2Fapp.py")).status_code == 404


async def test_a_mistake_of_the_portal_s_own_is_said_calmly_and_logged(
    app: FastAPI, web: httpx.AsyncClient, hub: HubStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get(f"{PREFIX}api/broken")
    @app.get(f"{PREFIX}broken")
    async def broken() -> None:
        raise RuntimeError("a secret detail")

    page, api = await web.get(f"{PREFIX}broken"), await web.get(f"{PREFIX}api/broken")

    for answer in (page, api):
        assert answer.status_code == 500
        assert "secret detail" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "Something went wrong here" in page.text
    assert "a secret detail" in caplog.text
