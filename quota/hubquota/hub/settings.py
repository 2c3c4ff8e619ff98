"""Where the plugin's classes find the tiers file and the ledger, when their own configuration does not say."""

from __future__ import annotations

import os
from typing import Any

#: The variables that the command line reads too.
_VARIABLES = {"quota_tiers_file": "HUBQUOTA_TIERS", "quota_database_url": "HUBQUOTA_DATABASE_URL"}


def setting(config: Any, name: str) -> str:
    """Return a setting's value: what is configured for all spawners, or the environment's, or nothing.

    Args:
        config: the hub's whole configuration.
        name: the setting's name.
    """
    given = config.Spawner.get(name) if "Spawner" in config else None
    return given if isinstance(given, str) else os.environ.get(_VARIABLES[name], "")
