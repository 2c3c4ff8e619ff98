"""What an author says of an entry, as the fields of a form: one line a thing where there are several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from romanhub.portal.forms import Form

#: The form's fields, in the order of the page. Some are of one kind of entry alone.
FIELDS = (
    "title",
    "abstract",
    "authors",
    "licence",
    "tags",
    "datasets",
    "tier",
    "image",
    "citation",
    "parameters",
    "columns",
    "notebook",
    "software",
    "requirement",
    "entry_point",
    "hashes",
)


def sidecar_in(form: Form) -> dict[str, Any]:
    """Return what a form says as a sidecar; its fields are looked at by the catalogue."""
    plain = ("title", "abstract", "licence", "tier", "image", "notebook", "requirement", "entry_point")
    said: dict[str, Any] = {name: form.text(name) for name in plain}
    said["citation"] = form.text("citation")
    said["authors"] = [_author(line) for line in _lines(form.text("authors"))]
    said["tags"] = [tag.lower() for tag in _listed(form.text("tags"))]
    said["datasets"] = _listed(form.text("datasets"))
    said["parameters"] = [_parameter(line) for line in _lines(form.text("parameters"))]
    said["columns"] = [_column(line) for line in _lines(form.text("columns"))]
    said["software"], said["hashes"] = _lines(form.text("software")), _lines(form.text("hashes"))
    return {name: value for name, value in said.items() if value}


def as_text(sidecar: Mapping[str, Any]) -> dict[str, str]:
    """Return a sidecar as the text of the form's fields."""
    said = {name: str(sidecar.get(name) or "") for name in FIELDS}
    said["authors"] = "\n".join(
        f"{one['name']}; {one['orcid']}" if one.get("orcid") else one["name"] for one in sidecar.get("authors", ())
    )
    said["tags"] = ", ".join(sidecar.get("tags", ()))
    said["datasets"] = ", ".join(sidecar.get("datasets", ()))
    said["software"], said["hashes"] = ("\n".join(sidecar.get(name, ())) for name in ("software", "hashes"))
    said["columns"] = "\n".join(
        f"{one['name']}: {one.get('unit') or ''}" + (f"; {one['description']}" if one.get("description") else "")
        for one in sidecar.get("columns", ())
    )
    said["parameters"] = "\n".join(
        f"{one['name']}: {one['about']}" if one.get("about") else one["name"]
        for one in sidecar.get("parameters", ())
    )
    return said


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _listed(text: str) -> list[str]:
    return [one.strip() for line in text.splitlines() for one in line.split(",") if one.strip()]


def _author(line: str) -> dict[str, str]:
    name, _, orcid = line.partition(";")
    return {"name": name.strip(), **({"orcid": orcid.strip()} if orcid.strip() else {})}


def _column(line: str) -> dict[str, str]:
    name, _, rest = line.partition(":")
    unit, _, description = rest.partition(";")
    said = {"unit": unit.strip(), "description": description.strip()}
    return {"name": name.strip(), **{key: value for key, value in said.items() if value}}


def _parameter(line: str) -> dict[str, str]:
    name, _, about = line.partition(":")
    return {"name": name.strip(), "about": about.strip()}
