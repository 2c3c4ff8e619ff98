"""A notebook as one page without scripts: nbconvert writes it, and nh3 lets through only what it knows.

What comes out is to be served under a content policy that runs and loads nothing (`HEADERS`), in a frame with an
origin of its own (`FRAME_SANDBOX`). Each wall holds alone, and none is left out because the others stand.
"""

from __future__ import annotations

import base64
import binascii
import copy
from html import escape
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import nbformat
import nh3
from jinja2 import pass_context
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter
from pygments.lexers import find_lexer_class_by_name
from pygments.util import ClassNotFound

from romanhub.community.drawings import draws_too_much
from romanhub.community.errors import RefusedError
from romanhub.community.mathematics import mathml, mathml_of_output
from romanhub.community.reading import text_of

#: A word that changes when the same notebook would be rendered otherwise. Count it up with every change here.
RENDERER = "2"

#: An output longer than this is shortened on the page, in letters; the file keeps all of it.
LONGEST_OUTPUT = 200_000

#: Markup is nested no deeper; a table within lists within a table has twenty levels.
DEEPEST_MARKUP = 100

#: A card's picture is no larger, in bytes and in pixels.
LARGEST_PICTURE, MOST_PIXELS = 3_000_000, 40_000_000

#: What a rendered notebook is served with, wherever that is. It may be framed: nothing in it that can be clicked
#: acts. No ancestors are named, since no list of them has a page in a sandbox, as the portal's are. A link opens a
#: page of its own, outside of the sandbox, which knows nothing of where it was opened.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; sandbox allow-popups allow-popups-to-escape-sandbox",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Without it a browser may look up the names of hosts that links lead to.
    "X-DNS-Prefetch-Control": "off",
}

#: The same for the frame that shows it.
FRAME_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"

_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")


def _words(text: str) -> set[str]:
    return set(text.split())


#: What is let through. Presentational MathML without what links or loads; of HTML, text, lists, tables, pictures.
_MATHML = _words(
    "math annotation maction menclose merror mfenced mfrac mi mmultiscripts mn mo mover mpadded mphantom "
    "mprescripts mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover "
    "semantics none"
)
_MATH_ATTRIBUTES = _words(
    "display displaystyle mathvariant stretchy fence separator accent accentunder columnalign rowspacing "
    "columnspacing columnlines rowlines linethickness lspace rspace minsize maxsize width height depth "
    "notation open close"
)
_TAGS = _MATHML | _words(
    "a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption figure "
    "h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strong sub summary sup table "
    "tbody td tfoot th thead tr tt u ul var wbr"
)
_ATTRIBUTES: dict[str, set[str]] = {
    "*": {"class", "title", "lang", "dir"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "align"},
    "th": {"colspan", "rowspan", "align", "scope"},
    "ol": {"start"},
    "details": {"open"},
    **{tag: {"class", *_MATH_ATTRIBUTES} for tag in _MATHML},
}


class _Markdown(IPythonRenderer):
    """Markdown cells, with their mathematics as MathML."""

    def block_math(self, body: str) -> str:
        return mathml(body, display=True)

    def inline_math(self, body: str) -> str:
        return mathml(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", display=True)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        if url.startswith("attachment:") and url.removeprefix("attachment:") not in self.attachments:
            return escape(text)
        return str(super().image(text, url, title))


class _Exporter(HTMLExporter):
    """nbconvert's own page, with our Markdown. It never runs a notebook."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Return a cell's Markdown as HTML."""
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = _Markdown(escape=False, attachments=attachments, exclude_anchor_links=True)
        return str(MarkdownWithMath(renderer=renderer).render(source))


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep an attribute of what is let through, or not: links lead out, pictures are in the page itself."""
    if tag == "img" and name == "src":
        kept = value.startswith(tuple(f"data:{kind};base64," for kind in _PICTURES))
        return value if kept else None
    if tag == "a" and name == "href":
        return value if value.lower().startswith(("https://", "http://", "mailto:")) else None
    return value


def harmless(html: str) -> str:
    """Return HTML with nothing in it that runs, loads, or is not known to do neither.

    Raises
    ------
    RefusedError
        It is nested so deeply that a browser would be busy with it for long.
    """
    cleaned: str = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags={"script", "style", "iframe", "object", "embed", "template", "noscript", "svg"},
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow ugc",
    )
    depth = _Depth()
    depth.feed(cleaned)
    if depth.deepest > DEEPEST_MARKUP:
        raise RefusedError(
            f"The notebook has text or an output whose markup is nested more than {DEEPEST_MARKUP} deep, which "
            "keeps browsers busy for long. Clear that output, or write the text with fewer levels."
        )
    return cleaned


class _Depth(HTMLParser):
    """How deep elements are nested in HTML that has been cleaned, in which every one that is opened is closed."""

    _EMPTY = frozenset({"area", "br", "col", "hr", "img", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.depth = self.deepest = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Go one deeper."""
        if tag not in self._EMPTY:
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)

    def handle_endtag(self, tag: str) -> None:
        """Come up again."""
        self.depth -= tag not in self._EMPTY


def page_of(notebook: nbformat.NotebookNode, title: str) -> str:
    """Return a notebook as a page of its own.

    Parameters
    ----------
    notebook
        The notebook, as `read_notebook` returns it. It is not changed.
    title
        What the page is called.
    """
    shown = _prepared(notebook)
    exporter = _Exporter(  # type: ignore[no-untyped-call]
        template_name="basic", exclude_anchor_links=True, mathjax_url="", require_js_url=""
    )
    body, _ = exporter.from_notebook_node(shown)
    style = (files("romanhub.community") / "notebook.css").read_text(encoding="utf-8")
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{colours}\n{style}</style>\n</head>\n<body>\n"
        f"{harmless(body)}\n</body>\n</html>\n"
    )


def _prepared(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy with outputs that can be shown without a script, none of them endless."""
    shown = copy.deepcopy(notebook)
    shown.metadata = _node(language_info=_node(name=_language(notebook)))
    for cell in shown.cells:
        cell.metadata = _node()
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = _node()
            if output.output_type == "stream":
                output.text = _short(text_of(output.text))
            elif output.output_type == "error":
                output.traceback = [_short("\n".join(output.traceback))]
            else:
                output.data = _node(**_shown_data(output.data))
    return shown


def _node(**fields: Any) -> nbformat.NotebookNode:
    return nbformat.NotebookNode(fields)  # type: ignore[no-untyped-call]


def _language(notebook: nbformat.NotebookNode) -> str:
    """Return the language that code cells are coloured as: Python where a notebook says nothing that is known."""
    named = str(notebook.metadata.get("language_info", {}).get("name", "python"))
    try:
        find_lexer_class_by_name(named)
    except ClassNotFound:
        return "python"
    return named


def _shown_data(data: dict[str, Any]) -> dict[str, str]:
    kept = {
        kind: text_of(value)
        for kind, value in data.items()
        if kind in _PICTURES or kind in ("text/html", "text/markdown", "text/latex", "text/plain")
    }
    if latex := kept.pop("text/latex", ""):
        kept.setdefault("text/html", mathml_of_output(latex))
    if draws_too_much(kept.get("image/svg+xml", "")):
        del kept["image/svg+xml"]
        kept["text/plain"] = "A picture in SVG is not shown here: it draws more than a browser can be asked to."
    # What is not shown at all, such as a widget, still has its description.
    return {kind: value if kind in _PICTURES else _short(value) for kind, value in kept.items()}


def _short(text: str) -> str:
    if len(text) <= LONGEST_OUTPUT:
        return text
    return f"{text[:LONGEST_OUTPUT]}\n... shortened here: the notebook has {len(text):,} letters of this output."


def picture_of(notebook: nbformat.NotebookNode) -> bytes:
    """Return the PNG file of the first figure of a notebook that makes a picture for its card; empty for none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {}).get("image/png")
            if data is None or len(data) > LARGEST_PICTURE * 3 // 2:
                continue
            try:
                picture = base64.b64decode(text_of(data), validate=False)
            except (binascii.Error, ValueError):
                continue
            if _is_png(picture):
                return picture
    return b""


def _is_png(picture: bytes) -> bool:
    """Whether these are a PNG file of a size that a browser can be asked to show (ISO/IEC 15948, 11.2.2)."""
    if not picture.startswith(b"\x89PNG\r\n\x1a\n") or picture[12:16] != b"IHDR" or len(picture) > LARGEST_PICTURE:
        return False
    width, height = (int.from_bytes(picture[start : start + 4], "big") for start in (16, 20))
    return 0 < width * height <= MOST_PIXELS
