"""Keep astropy from downloading Earth orientation tables in kernels and Dask workers.

Conversions to UT1 or to horizontal coordinates make astropy look for newer tables on the internet once its
own are 30 days old, and fail without them. A server of the platform may have no way out, and a locked
environment grows old, so astropy is told to use the tables that it came with (package astropy-iers-data).
What a user has set in astropy's configuration file stays as it is.

The Roman kernel loads this module as an IPython extension (`--ext romanhub.client.offline`) and Dask workers
as a preload module (`distributed.worker.preload`). It waits until astropy's module is imported, which takes
half a second that a kernel's start need not take.
"""

from __future__ import annotations

from typing import Any

from wrapt import register_post_import_hook


def use_bundled_tables(iers: Any) -> None:
    """Set `astropy.utils.iers`, given as the module, to its own tables, where the user has not set it."""
    from astropy.config import get_config

    chosen = get_config("astropy").get("utils.iers.iers", {})
    if "auto_download" not in chosen:
        iers.conf.auto_download = False
    if "auto_max_age" not in chosen:
        iers.conf.auto_max_age = None


def install() -> None:
    """Use the bundled tables from now on, or from when astropy's module is imported."""
    register_post_import_hook(use_bundled_tables, "astropy.utils.iers")


def load_ipython_extension(shell: Any) -> None:
    """Install in a kernel: IPython calls this."""
    install()


def dask_setup(worker: Any) -> None:
    """Install in a Dask worker: Dask calls this."""
    install()
