"""Tiers, budgets and an exact ledger for a JupyterHub."""

__version__ = "0.1.0.dev0"
