"""What runs inside a JupyterHub, or beside it as its service."""

from __future__ import annotations

from pathlib import Path

#: For `c.JupyterHub.template_paths`: the hub's own pages, with what there is to say about the user's servers.
template_paths = [str(Path(__file__).with_name("templates") / "pages")]
