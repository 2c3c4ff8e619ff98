"""Run in the hub environment: makes what `romanhub up` makes before it starts anything."""

from __future__ import annotations

from romanhub.local.analysis import ensure_roman, place
from romanhub.local.layout import State, default_state
from romanhub.local.node_packages import ensure_proxy
from romanhub.local.screen import Screen


def main() -> None:
    """Bring the environments up to date; a step is shown where something is to be done."""
    state, screen = State(default_state()), Screen()
    ensure_proxy(state, screen=screen)
    place(ensure_roman(state, full=False, screen=screen))


if __name__ == "__main__":
    main()
