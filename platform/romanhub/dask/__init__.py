"""Dask clusters under the tiers: the gateway's options, caps and charges."""
