"""Entries of the community for the portal's pages: of two people, in every state, with figures and versions."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

from hubquota.services.tiersfile import load_tiers
from romanhub.community.comparing import CellChange, changes
from romanhub.community.inspector import Inspected, Inspector
from romanhub.community.proof.needs import Offer
from romanhub.community.proof.queue import Queue
from romanhub.community.reading import read_notebook, text_of
from romanhub.community.rendering import page_of, picture_of
from romanhub.models.community import Act, Provenance, Role
from romanhub.models.runs import Report

from tests.platform.community.hostile import code, markdown, notebook, shown
from tests.platform.community.shelf import Shelf
from tests.platform.portal.world import TIERS

CURATOR = frozenset({Role.CURATOR})

ABOUT: dict[str, Any] = {
    "title": "Depth of a stack",
    "abstract": "Stacks every exposure of a place on the sky and measures how deep the stack is, in each filter, "
    "with forced photometry on empty places.",
    "authors": [{"name": "Ada Lovelace", "orcid": "0000-0002-1825-0097"}, {"name": "Cecilia Payne"}],
    "licence": "BSD-3-Clause",
    "tags": ["photometry", "stacking"],
    "datasets": ["roman-sim"],
    "image": "roman:2026.11",
    "tier": "researcher",
    "citation": "doi:10.1000/roman.1",
    "parameters": [{"name": "radius", "about": "of the cone, in arcseconds"}],
}


class NearInspector(Inspector):
    """Reads and renders as the worker does, in this process and without the search for keys.

    A process for each notebook takes seconds; test_notebooks.py and test_hostile.py are about that process.
    """

    def inspect(self, file: bytes, title: str) -> Inspected:
        found = read_notebook(file)
        source = found.metadata.get("romanhub")
        return Inspected(
            page=page_of(found, title),
            words="\n".join(text_of(cell.source) for cell in found.cells),
            picture=picture_of(found),
            cells=len(found.cells),
            source=None if source is None else Provenance.model_validate(dict(source)),
        )

    def compare(self, older: bytes, newer: bytes) -> tuple[CellChange, ...]:
        return changes(read_notebook(older), read_notebook(newer))


def figure(width: int = 320, height: int = 180) -> str:
    """A PNG file in base64: a smooth slope with a bright spot."""
    rows = b""
    for y in range(height):
        line = bytearray(b"\0")
        for x in range(width):
            spot = 200 if (x - 200) ** 2 + (y - 80) ** 2 < 300 else 0
            line += bytes((min(255, x // 2 + spot), min(255, y + spot), 120))
        rows += bytes(line)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + png).decode()


def with_figure(radius: int = 10, **metadata: Any) -> bytes:
    """A notebook with prose, mathematics, a table and a figure."""
    picture = shown({"image/png": figure(), "text/plain": "<Figure>"})
    table = shown(
        {
            "text/html": "<table><tr><th>filter</th></tr><tr><td>F158</td></tr></table>",
            "text/plain": "F158 26.4",
        }
    )
    cells = [
        markdown("# Depth of a stack\n\nThe depth is $m_5 = -2.5 \\log_{10}(5 \\sigma) + 25.9$."),
        code(f"radius = {radius}\nimages = archive.images(position, radius=radius)", table),
        code("plt.imshow(stack)", picture),
    ]
    return json.dumps(notebook(*cells, **metadata)).encode()


def tell_of_runs(shelf: Shelf, queue: Queue) -> None:
    """Regular runs: of Ada's entry some that passed and one that failed, and one of Bob's that cannot be run."""
    offer = Offer(load_tiers(TIERS), queue.settings, "roman")
    reports = (
        Report(passed=True, seconds=61.4, peak_bytes=412_000_000, image_digest="roman-0395a1bd6b3dfbfd"),
        Report(
            passed=False,
            failed_cell=2,
            error="KeyError: 'F158'",
            seconds=12.2,
            peak_bytes=398_000_000,
            image_digest="roman-c4ee9c5b02ed8868",
        ),
        Report(passed=True, seconds=63.9, peak_bytes=420_000_000, image_digest="roman-c4ee9c5b02ed8868"),
    )
    for report in reports:
        for one, why in queue.schedule(offer):
            queue.refuse(one, why)
        for run in queue.claim():
            assert run.server is not None
            queue.report(run.id, run.person, run.server, report)
            queue.settle(run.id, 730_000)
        for one, found in queue.changes():
            queue.noted(one.id, found.proof)
        shelf.wait(days=14)


def tell_of_entries(shelf: Shelf) -> None:
    """Ada's entry in three versions and reviewed, entries of Bob's in other states, and a draft of each."""
    catalogue = shelf.catalogue
    for radius in (10, 20, 30):
        catalogue.draft("ada", "depth-of-a-stack", with_figure(radius), ABOUT, {"file": "depth.ipynb"})
        catalogue.publish("ada", "depth-of-a-stack")
        shelf.wait(days=3)
    catalogue.act("edwin", CURATOR, "depth-of-a-stack", Act.REVIEW, "Read and run.")
    source = catalogue.version("depth-of-a-stack", 2)
    origin = {"entry": source.entry, "version": 2, "digest": source.digest}
    shelf.publish("bob", "light-curves", "archive.light_curve((270, 66))", tags=["time-domain"])
    built = with_figure(99, romanhub=origin)
    catalogue.draft("bob", "deeper-still", built, ABOUT | {"title": "Deeper still", "tags": ["photometry"]})
    catalogue.publish("bob", "deeper-still")
    for name, act in (("an-old-way", Act.DEPRECATE), ("a-mistake", Act.WITHDRAW)):
        shelf.publish("bob", name)
        catalogue.act("bob", frozenset(), name, act, "There is a better one: light-curves")
    for person in ("bob", "edwin", "grace"):
        catalogue.opened(person, "depth-of-a-stack", 3)
        catalogue.star(person, "depth-of-a-stack")
    catalogue.draft("ada", "proper-motions", with_figure(5), {"title": "Proper motions"}, {"file": "pm.ipynb"})
    catalogue.draft("bob", "of-bob-alone", with_figure(6), {})
