"""Dask Gateway on Kubernetes, its API server and its controller: all that they need is in the settings."""

from romanhub.kubernetes.configure import configure

configure(get_config())  # noqa: F821
