"""Names as Kubernetes' labels have them. The hub uses this, too, so nothing of Dask Gateway is imported here."""

from __future__ import annotations

from kubespawner.slugs import is_valid_label, safe_slug


def label_of(name: str) -> str:
    """Return a name as a label's value, in the way in which KubeSpawner labels users' servers."""
    value: str = safe_slug(name, is_valid=is_valid_label)
    return value
