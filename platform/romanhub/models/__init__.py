"""Typed models that several layers share. Nothing in this package does I/O."""
