"""Runs the command `hubquota` as a module."""

from __future__ import annotations

from hubquota.cli import main

main()
