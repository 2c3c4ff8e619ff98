"""RomanHub: a science platform for the Nancy Grace Roman Space Telescope.

In a notebook: `from romanhub import archive, community`, `romanhub.cluster()`, `romanhub.scratch()`,
`romanhub.balance()`, and for what is to run without you `romanhub.run_later()` and `romanhub.runs()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from romanhub.client import community
    from romanhub.client.archive import archive
    from romanhub.client.balance import balance
    from romanhub.client.cluster import cluster
    from romanhub.client.run_later import run_later
    from romanhub.client.runs import runs
    from romanhub.client.scratch import scratch

__all__ = ["archive", "balance", "cluster", "community", "run_later", "runs", "scratch"]

__version__ = "0.1.0.dev0"


def __getattr__(name: str) -> Any:
    """Import what a notebook uses when it is first used: the hub's environment lacks its libraries."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"romanhub.client.{name}")
    # One of them is a module of several functions; the others are what the module of that name has.
    found = getattr(module, name, module)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
