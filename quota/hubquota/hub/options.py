"""What a start is asked for with: by the form or by REST, so nothing about it can be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubquota.models.ledger import Refused


def options_from_form(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form's fields as options, each one's single value. The start checks them."""
    return {
        name: values[0] if isinstance(values, list) and len(values) == 1 else values
        for name, values in form.items()
        if name != "_xsrf"
    }


def unknown_options(options: Mapping[str, Any], known: frozenset[str]) -> Refused:
    """Return why a start with options that there are not is refused."""
    unknown = sorted(str(name) for name in options if name not in known)
    return Refused(
        limit="option",
        message=f"A start has no option named {', '.join(unknown)[:80]}; "
        f"the options are: {', '.join(sorted(known))}.",
    )
