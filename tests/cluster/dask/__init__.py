"""Dask on Kubernetes: the gateway's two programs, as they are, on a real control plane."""
