"""Whether a licence lets an entry be shared."""

from __future__ import annotations

import re

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from romanhub.community.errors import RefusedError

#: What pages and the command line offer first. Any other SPDX expression that lets people share is as good.
OFFERED = ("BSD-3-Clause", "MIT", "Apache-2.0", "GPL-3.0-or-later", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0")

#: Opening a copy and changing it is what the catalogue is for, which "no derivatives" forbids.
_NO_CHANGES = re.compile(r"-ND(-|$)")


def canonical_licence(expression: str) -> str:
    """Return an SPDX licence expression in its usual writing.

    Raises
    ------
    RefusedError
        Where it is none, where nobody can know what it allows, or where it forbids sharing what was changed.
    """
    try:
        licence = canonicalize_license_expression(expression)
    except InvalidLicenseExpression:
        raise RefusedError(
            f"'{expression[:80]}' is no licence of the SPDX list, so nobody would know what they may do with "
            f"this. Choose one that allows sharing, such as {', '.join(OFFERED[:4])} or {OFFERED[4]}."
        ) from None
    for part in re.findall(r"[A-Za-z0-9.+-]+", licence):
        if part.startswith("LicenseRef-"):
            raise RefusedError(
                f"'{part}' is a licence of its own, and nobody here could know whether it allows sharing. Choose "
                f"one of the SPDX list, such as {OFFERED[0]} or {OFFERED[4]}."
            )
        if _NO_CHANGES.search(part):
            raise RefusedError(
                f"{part} forbids sharing what was changed, and a copy here is opened to be changed. Choose a "
                f"licence that allows it, such as {OFFERED[4]}."
            )
    return str(licence)
