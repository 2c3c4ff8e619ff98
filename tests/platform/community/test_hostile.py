"""Hostile notebooks in a real browser, with a listener for anything that runs or leaves.

The walls are looked at one at a time: what the renderer lets through, with no policy and no sandbox around it; the
policy around markup as it was sent; and both together, in the frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route
from romanhub.community.drawings import draws_too_much
from romanhub.community.errors import RefusedError
from romanhub.community.inspector import Inspector
from romanhub.community.reading import read_notebook
from romanhub.community.rendering import FRAME_SANDBOX, HEADERS, page_of

from tests.platform.community.hostile import AWAY, HEAVY, INERT, MARKUP

HERE = "http://romanhub.test"

#: What is in place before any script of the page's own could be: it says that something ran.
_LISTENER = "window.ran = what => console.log('RAN ' + what); window.alert = window.ran;"

Html = dict[str, str]


@dataclass
class Seen:
    """What a browser did while it showed a page."""

    ran: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)


def page_for(name: str) -> str:
    return page_of(read_notebook(json.dumps(INERT[name]).encode()), name)


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[[Html, dict[str, str]], tuple[Page, Seen]]]:
    """Shows pages, by their paths, and notes what happens."""
    contexts: list[BrowserContext] = []

    def open_pages(pages: Html, headers: dict[str, str]) -> tuple[Page, Seen]:
        context = browser.new_context()
        contexts.append(context)
        # What leads into the hub: a page that could act for its reader would send it.
        context.add_cookies([{"name": "session", "value": "secret", "url": HERE}])
        context.add_init_script(_LISTENER)
        seen = Seen()

        def answer(route: Route) -> None:
            path = route.request.url.removeprefix(HERE)
            if path in pages:
                route.fulfill(headers={"Content-Type": "text/html; charset=utf-8", **headers}, body=pages[path])
            else:
                seen.left.append(route.request.url)
                route.abort()

        context.route("**/*", answer)
        page = context.new_page()
        context.on("page", lambda opened: seen.opened.append(opened.url))
        page.on("console", lambda said: seen.ran.append(said.text) if said.text.startswith("RAN") else None)
        page.on("dialog", lambda dialog: seen.ran.append(dialog.message))
        return page, seen

    yield open_pages
    for context in contexts:
        context.close()


def provoke(page: Page) -> None:
    """Do to a page what its reader may do: move over things, and click on all that is not plainly a way out."""
    for frame in page.frames:
        for number in range(min(frame.locator("a, button, summary, input").count(), 40)):
            element = frame.locator("a, button, summary, input").nth(number)
            element.dispatch_event("mouseover")
            address = element.get_attribute("href") or ""
            if not address.startswith(("http:", "https:", "mailto:")):
                element.dispatch_event("click")
    page.wait_for_load_state("load")


def test_the_listener_notices_what_runs_and_what_leaves(look: Callable[..., tuple[Page, Seen]]) -> None:
    """A check that cannot fail would prove nothing: without any wall, the same markup runs and leaves."""
    noticed = {}
    for name in ("script", "handler", "picture", "style", "svg", "frame", "refresh"):
        page, seen = look({"/": f"<!doctype html><body>{MARKUP[name]}"}, {})
        page.goto(f"{HERE}/", wait_until="load")
        page.wait_for_function("() => document.readyState === 'complete'")
        noticed[name] = bool(seen.ran or seen.left or AWAY in page.url or "chrome-error" in page.url)

    assert noticed == dict.fromkeys(noticed, True)


@pytest.mark.parametrize("name", INERT)
def test_what_the_renderer_lets_through_is_inert_without_any_other_wall(
    name: str, look: Callable[..., tuple[Page, Seen]]
) -> None:
    page, seen = look({"/": page_for(name)}, {})

    page.goto(f"{HERE}/", wait_until="load")
    provoke(page)

    assert seen == Seen()
    assert page.url == f"{HERE}/"
    assert page.locator("h1").first.inner_text() == "A title", "it can still be read"


@pytest.mark.parametrize("name", MARKUP)
def test_the_policy_alone_holds_back_markup_as_it_was_sent(
    name: str, look: Callable[..., tuple[Page, Seen]]
) -> None:
    page, seen = look({"/": f"<!doctype html><body><h1>A title</h1>{MARKUP[name]}"}, HEADERS)

    page.goto(f"{HERE}/", wait_until="load")

    assert seen == Seen()
    assert page.url == f"{HERE}/"


def test_in_the_frame_nothing_runs_nothing_leaves_and_it_looks_like_a_notebook(
    look: Callable[..., tuple[Page, Seen]],
) -> None:
    frames = "".join(
        f'<iframe title="{name}" sandbox="{FRAME_SANDBOX}" src="/{name}" width="1000" height="400"></iframe>'
        for name in INERT
    )
    shell = f"<!doctype html><title>x</title><body>{frames}"
    page, seen = look({"/": shell, **{f"/{name}": page_for(name) for name in INERT}}, {})
    # The pages within have the policy, the one around them has not.
    page.context.unroute_all()

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(HERE)
        known = path == "/" or path[1:] in INERT
        if not known:
            seen.left.append(route.request.url)
            route.abort()
            return
        body, headers = (shell, {}) if path == "/" else (page_for(path[1:]), HEADERS)
        route.fulfill(headers={"Content-Type": "text/html; charset=utf-8", **headers}, body=body)

    page.context.route("**/*", answer)
    page.goto(f"{HERE}/", wait_until="load")

    assert seen == Seen()
    assert page.url == f"{HERE}/"
    assert len(page.frames) == 1 + len(INERT), "and there is no frame within a frame"
    for frame in page.frames[1:]:
        assert frame.locator("h1").first.inner_text() == "A title"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", HEAVY)
def test_what_is_too_much_is_refused_or_a_page_that_a_browser_shows(
    name: str, look: Callable[..., tuple[Page, Seen]]
) -> None:
    file = json.dumps(HEAVY[name]()).encode()
    try:
        # In its own process, with its limits, as everything that people send.
        shown = Inspector().inspect(file, name).page
    except RefusedError as refused:
        assert any(reason in str(refused) for reason in ("too much time or memory", "is the most", "nested more"))
        return
    page, seen = look({"/": shown}, HEADERS)

    page.goto(f"{HERE}/", wait_until="load")

    assert seen == Seen()
    assert page.locator("h1").first.inner_text() == "A title"
    assert page.evaluate("() => document.querySelectorAll('*').length") < 400_000


def test_a_plot_in_svg_is_shown_though_it_refers_to_its_glyphs_a_hundred_thousand_times() -> None:
    glyphs = '<g id="axes">' + '<use xlink:href="#p"/>' * 100_000 + "</g>"
    assert not draws_too_much(f'<svg><defs><path id="p"/></defs>{glyphs}</svg>')
    # What refers to itself draws nothing, and is no endless search either.
    assert not draws_too_much('<svg><g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g></svg>')
    assert draws_too_much(f'<svg><defs><g id="p">{"<path/>" * 10}</g></defs>{glyphs}</svg>')
