"""How much people may keep in the catalogue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much people may keep; the operator's settings say it (`CommunitySettings`)."""

    #: One version of a data product: its size in bytes, and its files.
    product_bytes: int = 2_000_000_000
    product_files: int = 1000
    #: All that one person's entries keep, all versions together, in bytes.
    person_bytes: int = 20_000_000_000


#: What holds where the operator says nothing else.
USUAL = Limits()
