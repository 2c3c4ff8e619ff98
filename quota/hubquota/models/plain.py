"""Reading plain content that nothing has checked: what is not of the type that is wanted is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def mapping(value: object) -> Mapping[Any, Any]:
    """Return a mapping, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[Any]:
    """Return a list, or an empty one."""
    return value if isinstance(value, list | tuple) else ()
