"""What the test of every image looks at. It runs inside the image, with the standard library alone."""

from __future__ import annotations

import json
import os
import re
import unittest
from pathlib import Path

#: Licences under which an image may hand on a Python or JavaScript package, as their names begin or are written.
FREE = re.compile(
    r"\b(0BSD|Apache|Artistic|BSD|CC0|CNRI|HPND|ISC|LGPL|MIT|MPL|Mozilla|PSF|Python Software Foundation"
    r"|Public Domain|Unlicense|Zlib|Academic Free License|AFL|Historical Permission|Lesser General Public)",
    re.IGNORECASE,
)


class ImageChecks(unittest.TestCase):
    """The checks of one image; a test of an image inherits them and adds its own."""

    #: The image's folder here, and the environment's folder in it.
    image: str
    environment: Path
    #: Packages under another licence, which the image's own label names, handed on as they are.
    others: frozenset[str] = frozenset()

    @classmethod
    def setUpClass(cls) -> None:
        """Leave out this class itself, which is of no image."""
        if cls is ImageChecks:
            raise unittest.SkipTest("of no image")

    @property
    def about(self) -> Path:
        """Where the image says what is in it."""
        return self.environment / "share" / "romanhub"

    def test_nobody_is_root(self) -> None:
        self.assertEqual(os.geteuid(), 1000)
        self.assertFalse(os.access(self.environment / "bin", os.W_OK))

    def test_the_list_of_contents_is_there_for_people_and_programs(self) -> None:
        listed = json.loads((self.about / "sbom.cdx.json").read_text())
        self.assertEqual(listed["bomFormat"], "CycloneDX")
        names = {component["name"] for component in listed["components"]}
        self.assertLessEqual({"python3", "libc6", "jupyterhub"}, names)
        text = (self.about / "contents.md").read_text()
        for component in listed["components"]:
            self.assertIn(f"| {component['name']} | {component['version']} |", text)

    def test_every_licence_allows_to_hand_it_on(self) -> None:
        unclear = []
        for component in json.loads((self.about / "sbom.cdx.json").read_text())["components"]:
            if component["purl"].startswith("pkg:deb/") or component["name"] in self.others:
                continue
            said = json.dumps(component.get("licenses", []))
            if not FREE.search(said):
                unclear.append(f"{component['name']}: {said}")
        self.assertEqual(unclear, [])
