"""Proof that shared notebooks still run: a queue of runs, and the runner that starts a server for each."""
