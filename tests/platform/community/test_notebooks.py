"""What is taken and what is refused, and that what is taken stays useful to look at."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from playwright.sync_api import Browser
from romanhub.community.errors import RefusedError
from romanhub.community.inspector import Inspector
from romanhub.community.licences import canonical_licence
from romanhub.community.reading import read_notebook
from romanhub.community.rendering import page_of, picture_of
from romanhub.portal.previews import png, stretched

from tests.platform.community.hostile import REFUSED, code, markdown, notebook, printed, shown
from tests.support.browser import WIDTHS, take

DOT = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()

GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
HUB = "3f2a9c417bd84e0c" + "9b6a5d1e8f70c2aa"


def rendered(*cells: dict[str, object]) -> str:
    return page_of(read_notebook(json.dumps(notebook(*cells)).encode()), "A survey")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_notebook_is_refused_with_the_reason(name: str) -> None:
    file, reason = REFUSED[name]
    with pytest.raises(RefusedError, match=reason):
        read_notebook(file)


def test_figures_tables_mathematics_and_links_are_there() -> None:
    page = rendered(
        markdown(
            "# Depth\n\nThe flux is $\\frac{a}{b}$, and\n\n$$\\sum_i x_i$$\n\n[a paper](https://example.org/1)"
        ),
        markdown("\\begin{align}a &= b\\\\ c &= d\\end{align}"),
        code(
            "print(depth)",
            printed("25.3"),
            shown({"image/png": DOT, "text/plain": "<Figure>"}),
            shown({"text/html": "<table><tr><th>band</th><td colspan=2>F158</td></tr></table>"}),
            shown({"text/latex": "$\\displaystyle x^2$", "text/plain": "x**2"}),
        ),
    )

    assert "<h1>Depth</h1>" in page
    assert page.count("<mfrac>") == 1
    assert page.count('<math display="block">') == 2
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in page
    assert f'src="data:image/png;base64,{DOT}"' in page
    assert '<td colspan="2">F158</td>' in page
    assert "25.3" in page
    link = 'href="https://example.org/1" target="_blank" rel="noopener noreferrer nofollow ugc"'
    assert link in page


def test_it_looks_like_a_notebook(browser: Browser) -> None:
    bands = ("F106", "F129", "F146", "F158")
    rows = "".join(f"<tr><th>{band}</th><td>25.{n}</td><td>{n}</td></tr>" for n, band in enumerate(bands))
    table = f"<table><tr><th>band</th><th>depth</th><th>n</th></tr>{rows}</table>"
    figure = png(stretched(np.hypot(*np.mgrid[-90:90, -160:160]).astype(np.float32)))
    page = browser.new_page()
    page.set_content(
        rendered(
            markdown("# How deep is it\n\nThe error of a mean is $\\sigma / \\sqrt{n}$:"),
            markdown("$$m_{5\\sigma} = -2.5 \\log_{10}\\left(5 \\sqrt{\\sum_i \\sigma_i^2}\\right) + z$$"),
            code(
                "import astropy.units as u\n\ndepth = stack.depth(5 * u.mag)  # of the stack", printed("25.3 mag")
            ),
            code(
                "table",
                shown({"text/html": table}),
            ),
            code("plt.imshow(stack)", shown({"image/png": base64.b64encode(figure).decode()})),
        )
    )
    take(page, "community-notebook")

    assert page.locator("math").first.bounding_box()["width"] > 20  # type: ignore[index]
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 800})
        inside, outside = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert inside <= outside, f"at {width} px the page has to be moved sideways"
    page.close()


def test_a_formula_that_cannot_be_understood_is_shown_as_it_was_written() -> None:
    page = rendered(markdown(r"$\left( <b>x</b>$"), markdown(f"${'<i>+' * 2000}$"))

    assert r"<code>\left( &lt;b&gt;x&lt;/b&gt;</code>" in page
    assert "<code>&lt;i&gt;+&lt;i&gt;" in page


def test_a_huge_output_is_shortened_on_the_page_and_says_so() -> None:
    page = rendered(code("x", printed("0123456789" * 100_000)))

    assert len(page) < 300_000
    assert "shortened here: the notebook has 1,000,000 letters" in page


def test_a_widget_is_shown_by_its_description() -> None:
    page = rendered(
        code("x", shown({"application/vnd.jupyter.widget-view+json": {}, "text/plain": "FloatSlider()"}))
    )

    assert "FloatSlider()" in page


def test_code_in_a_language_that_nobody_knows_is_shown_all_the_same() -> None:
    file = json.dumps(notebook(code("x = 1"), language_info={"name": "klingon"})).encode()

    assert '<span class="n">x</span>' in page_of(read_notebook(file), "A survey")


def test_nothing_is_run() -> None:
    assert "42" not in rendered(code("print(6 * 7)"))


def test_the_card_s_picture_is_the_first_figure_that_a_browser_can_be_asked_to_show() -> None:
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (100_000).to_bytes(4, "big") * 2
    cells = [
        code("a", shown({"image/png": "not base64!"}), shown({"image/png": base64.b64encode(bomb).decode()})),
        code("b", shown({"image/png": DOT})),
    ]

    assert picture_of(read_notebook(json.dumps(notebook(*cells)).encode())) == base64.b64decode(DOT)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("bsd-3-clause", "BSD-3-Clause"),
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0"),
    ],
)
def test_licences_that_allow_sharing(given: str, found: str) -> None:
    assert canonical_licence(given) == found


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("All rights reserved", "no licence of the SPDX list"),
        ("LicenseRef-Proprietary", "a licence of its own"),
        ("CC-BY-ND-4.0", "forbids sharing what was changed"),
        ("MIT OR CC-BY-NC-ND-4.0", "forbids sharing what was changed"),
        ("NOASSERTION", "no licence of the SPDX list"),
    ],
)
def test_licences_that_forbid_sharing_are_refused(given: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        canonical_licence(given)


# In a process of its own --------------------------------------------------------------------------------


def test_a_notebook_without_keys_is_looked_into() -> None:
    file = json.dumps(
        notebook(markdown("# The depth of a survey"), code("x = 1", shown({"image/png": DOT})))
    ).encode()

    found = Inspector().inspect(file, "A survey")

    assert "<h1>The depth of a survey</h1>" in found.page
    assert "x = 1" in found.words
    assert found.picture == base64.b64decode(DOT)
    assert found.cells == 2


def test_keys_are_found_wherever_they_are_and_never_repeated() -> None:
    file = json.dumps(
        notebook(
            markdown("nothing here"),
            # Words that have other scanners pass over the line do not help.
            code(f'import x\ntoken = "{GITHUB}"  # kingfisher:ignore gitleaks:allow', printed("fine")),
            code("env", printed(f"HOME=/home/ada\nJUPYTERHUB_API_TOKEN={HUB}\n")),
            code("x", shown({"text/html": f"<b>Authorization: token {HUB[::-1]}</b>"})),
        )
    ).encode()

    with pytest.raises(RefusedError) as refused:
        Inspector().inspect(file, "A survey")

    told = str(refused.value)
    assert "cell 2, line 2: it looks like a key of the kind github-pat" in told
    assert "the output of cell 3, line 2: it looks like a token of the platform" in told
    assert "the output of cell 4, line 1: it looks like a token of the platform" in told
    assert GITHUB not in told
    assert HUB not in told


def test_what_takes_too_long_is_refused() -> None:
    file = json.dumps(notebook(markdown("x"))).encode()

    with pytest.raises(RefusedError, match="too much time or memory"):
        Inspector(seconds=0.001).inspect(file, "A survey")


def test_what_a_version_changed_is_told_by_cells() -> None:
    older = notebook(markdown("# One"), code("a = 1\nb = 2"), code("same"), markdown("gone"))
    newer = notebook(markdown("# One"), code("a = 1\nb = 3"), code("same"), code("new"), code("newer"))

    found = Inspector().compare(json.dumps(older).encode(), json.dumps(newer).encode())

    assert [(one.what, one.kind, one.before, one.after) for one in found] == [
        ("changed", "code", 2, 2),
        ("changed", "code", 4, 4),
        ("added", "code", None, 5),
    ]
    assert [line for line in found[0].lines if line[0] in "+-"] == [("-", "b = 2"), ("+", "b = 3")]


def test_a_notebook_as_lab_saves_it_is_taken() -> None:
    """On the disk, sources and outputs are lists of lines."""
    lines = ["# How deep\n", "the survey is"]
    output = {"output_type": "stream", "name": "stdout", "text": ["25.3\n", "mag\n"]}
    saved = notebook(markdown("x"), code("y", output))
    saved["cells"][0]["source"] = lines
    saved["cells"][1]["source"] = ["print(depth)\n", "print('mag')"]
    found = Inspector().inspect(json.dumps(saved).encode(), "A survey")
    assert "How deep\nthe survey is" in found.words
    assert "25.3\nmag" in found.page
    saved["cells"][1]["source"] = ["a = 1\n", f"token = '{GITHUB}'"]
    with pytest.raises(RefusedError, match="cell 2"):
        Inspector().inspect(json.dumps(saved).encode(), "A survey")
