"""How to cite an entry: BibTeX for papers, and the Citation File Format for programs."""

from __future__ import annotations

from datetime import date

import yaml

from romanhub.models.community import Author, Sidecar

#: What TeX gives a meaning, as it is written to mean itself.
_TEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def bibtex(sidecar: Sidecar, *, entry: str, version: int, day: date, address: str, dataset: bool = False) -> str:
    """Return an entry's version for a bibliography.

    Parameters
    ----------
    sidecar
        What its author says of it.
    entry, version
        Its name, and which version of it.
    day
        When that version became public.
    address
        Where it is.
    dataset
        Whether it is data, and not software.
    """
    fields = {
        "title": f"{{{_tex(sidecar.title)}}}",
        # A name is kept as it was given: nobody can tell the family name of each.
        "author": " and ".join(f"{{{_tex(author.name)}}}" for author in sidecar.authors),
        "year": str(day.year),
        "month": str(day.month),
        "version": str(version),
        "url": "".join(letter for letter in address if letter not in "{}\\"),
    }
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{'dataset' if dataset else 'software'}{{{entry}-{version},\n{lines}\n}}\n"


def citation_file(sidecar: Sidecar, *, version: int, day: date, address: str, dataset: bool = False) -> str:
    """Return a CITATION.cff (version 1.2.0 of the format) of an entry's version; parameters as for `bibtex`."""
    content = {
        "cff-version": "1.2.0",
        **({"type": "dataset"} if dataset else {}),
        "message": "If you use this, please cite it as below.",
        "title": sidecar.title,
        "abstract": sidecar.abstract,
        "authors": [_cff_author(author) for author in sidecar.authors],
        "version": str(version),
        "date-released": day.isoformat(),
        "license": sidecar.licence,
        "url": address,
        **({"keywords": list(sidecar.tags)} if sidecar.tags else {}),
    }
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _cff_author(author: Author) -> dict[str, str]:
    orcid = {"orcid": f"https://orcid.org/{author.orcid}"} if author.orcid else {}
    # The format's "name" is for whole names; nobody can tell the family name of each.
    return {"name": author.name, **orcid}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)
