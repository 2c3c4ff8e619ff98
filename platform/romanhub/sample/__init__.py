"""A small sample of a Roman archive: simulated exposures, a mosaic, a source catalogue and an index.

The package makes the sample (`python -m romanhub.sample make`, in the full analysis environment) and
carries the small one that is committed, which `small_archive` finds in any environment.
"""

from __future__ import annotations

from pathlib import Path


def small_archive() -> Path:
    """Return the directory of the small sample archive that comes with the package.

    It holds `index.json` (an `romanhub.models.archive.ArchiveIndex`) and the files that it lists.
    """
    return Path(__file__).parent / "small"
