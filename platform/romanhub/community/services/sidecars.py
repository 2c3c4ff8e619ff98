"""What an author says of an entry, as it is sent: what is wrong is turned down, what lacks is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from romanhub.community.errors import WrongSidecarError
from romanhub.community.licences import canonical_licence
from romanhub.models.community import OF_KIND, Kind, Sidecar, needed


def read_sidecar(given: Mapping[str, Any], kind: Kind = Kind.NOTEBOOK) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a sidecar as it is kept, and the fields that it lacks with what each of them says.

    A field that is there and empty lacks, as does one that a form sent without anything in it.

    Parameters
    ----------
    given
        The fields.
    kind
        What the entry is; some fields are of one kind alone.

    Raises
    ------
    WrongSidecarError
        Where a field says something that it cannot say, or the licence forbids sharing.
    """
    said = {name: value for name, value in given.items() if value not in (None, "", [], ())}
    missing: dict[str, str] = {}
    stand_ins: dict[str, Any] = {
        "title": "A title", "abstract": "An abstract of twenty letters.", "authors": [{"name": "Somebody"}],
        "licence": "MIT", "requirement": "name==1", "entry_point": "name",
    }  # fmt: skip
    for name in said:
        if (of := OF_KIND.get(name, kind)) is not kind:
            raise WrongSidecarError({name: f"This is said of a {of}, and the entry is a {kind}. Leave it out."})
    for name in needed(kind):
        if name not in said:
            missing[name] = Sidecar.model_fields[name].description or name
    try:
        # What is there is looked at as if the rest were there, too.
        found = Sidecar.model_validate({**said, **{name: stand_ins[name] for name in missing}})
    except ValidationError as error:
        raise WrongSidecarError(_explained(error)) from None
    kept = found.model_dump(mode="json", exclude_defaults=True, exclude=set(missing))
    if "licence" in kept:
        kept["licence"] = canonical_licence(kept["licence"])
    return kept, missing


def _explained(error: ValidationError) -> dict[str, str]:
    """Return by field what is wrong with it, in a sentence."""
    found: dict[str, str] = {}
    for one in error.errors(include_url=False):
        field, *within = (str(part) for part in one["loc"]) if one["loc"] else ("sidecar",)
        if one["type"] == "extra_forbidden":
            told = f"There is no field of this name. The fields are {', '.join(Sidecar.model_fields)}."
        else:
            said = one["msg"].removeprefix("Value error, ")
            place = f"{'.'.join(within)}: " if within else ""
            about = Sidecar.model_fields[field].description if field in Sidecar.model_fields else ""
            told = f"{place}{said[:1].upper()}{said[1:].rstrip('.')}. It says: {about}"
        found.setdefault(field, told)
    return found


def name_of(title: str) -> str:
    """Return what an entry of a title may be called in addresses: `Depth of a stack` is `depth-of-a-stack`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:80].rstrip("-")
