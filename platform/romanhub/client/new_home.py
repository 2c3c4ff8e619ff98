"""An extension of the Jupyter server: a home that nothing was put into yet begins with the welcome notebook.

On Kubernetes a home is a new, empty volume. On one machine the platform makes it, with the notebook in it, and
there is nothing to do. It is never put back once a home has anything in it: whoever removes it does not want it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

#: What a new home begins with.
NOTEBOOKS = Path(__file__).with_name("notebooks")

#: What the file system of a new volume may put there itself.
_NOT_ITS_OWNERS = frozenset({"lost+found"})


def begin(home: Path) -> bool:
    """Put the notebooks into a home, where nothing but hidden files is in it; returns whether it did.

    Raises
    ------
    OSError
        Where the home cannot be read or written.
    """
    if any(not one.name.startswith(".") and one.name not in _NOT_ITS_OWNERS for one in home.iterdir()):
        return False
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        shutil.copyfile(notebook, home / notebook.name)
    return True


def _load_jupyter_server_extension(server: Any) -> None:
    try:
        begin(Path(server.contents_manager.root_dir))
    except OSError as error:
        # A home that is full, or that may only be read, is no reason not to start.
        server.log.warning("The welcome notebook could not be put into the home: %s", error)
