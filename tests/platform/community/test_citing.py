"""How to cite an entry."""

from __future__ import annotations

from datetime import date

import yaml
from romanhub.community.citing import bibtex, citation_file
from romanhub.models.community import Sidecar

SIDECAR = Sidecar.model_validate(
    {
        "title": "Depth & 100% of the bulge_fields }\\input{x}",
        "abstract": "Measures how deep a stack is: in every filter.",
        "authors": [{"name": "Ada Löw", "orcid": "0000-0002-1825-0097"}, {"name": "Cecilia Payne"}],
        "licence": "BSD-3-Clause",
        "tags": ["bulge"],
    }
)
DAY, ADDRESS = date(2026, 11, 2), "https://example.org/community/depth-k3f9"


def test_bibtex_names_authors_version_and_address_and_a_title_is_no_command() -> None:
    found = bibtex(SIDECAR, entry="depth-k3f9", version=2, day=DAY, address=ADDRESS)

    assert found == (
        "@software{depth-k3f9-2,\n"
        "  title = {{Depth \\& 100\\% of the bulge\\_fields \\}\\textbackslash{}input\\{x\\}}},\n"
        "  author = {{Ada Löw} and {Cecilia Payne}},\n"
        "  year = {2026},\n  month = {11},\n  version = {2},\n"
        "  url = {https://example.org/community/depth-k3f9}\n}\n"
    )


def test_a_citation_file_says_the_same() -> None:
    found = yaml.safe_load(citation_file(SIDECAR, version=2, day=DAY, address=ADDRESS))

    assert found["cff-version"] == "1.2.0"
    assert found["title"] == SIDECAR.title
    assert found["authors"] == [
        {"name": "Ada Löw", "orcid": "https://orcid.org/0000-0002-1825-0097"},
        {"name": "Cecilia Payne"},
    ]
    assert (found["version"], found["date-released"], found["url"]) == ("2", "2026-11-02", ADDRESS)
