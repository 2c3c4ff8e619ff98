"""What an author says of an entry, as the fields of a form: one line a thing where there are several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from romanhub.portal.forms import Form

#: The form's fields, in the order of the page.
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
)


def sidecar_in(form: Form) -> dict[str, Any]:
    """Return what a form says as a sidecar; its fields are looked at by the catalogue."""
    said: dict[str, Any] = {name: form.text(name) for name in ("title", "abstract", "licence", "tier", "image")}
    said["citation"] = form.text("citation")
    said["authors"] = [_author(line) for line in _lines(form.text("authors"))]
    said["tags"] = [tag.lower() for tag in _listed(form.text("tags"))]
    said["datasets"] = _listed(form.text("datasets"))
    said["parameters"] = [_parameter(line) for line in _lines(form.text("parameters"))]
    return {name: value for name, value in said.items() if value}


def as_text(sidecar: Mapping[str, Any]) -> dict[str, str]:
    """Return a sidecar as the text of the form's fields."""
    said = {name: str(sidecar.get(name) or "") for name in FIELDS}
    said["authors"] = "\n".join(
        f"{one['name']}; {one['orcid']}" if one.get("orcid") else one["name"] for one in sidecar.get("authors", ())
    )
    said["tags"] = ", ".join(sidecar.get("tags", ()))
    said["datasets"] = ", ".join(sidecar.get("datasets", ()))
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


def _parameter(line: str) -> dict[str, str]:
    name, _, about = line.partition(":")
    return {"name": name.strip(), "about": about.strip()}
