"""For all tests: what property tests try."""

from __future__ import annotations

from hypothesis import settings

# A run of the tests fails for what was changed, and not because of an example that nobody had tried before.
settings.register_profile("same", derandomize=True)
settings.register_profile("new", derandomize=False)
settings.load_profile("same")
