"""What runs inside a JupyterHub, or beside it as its service."""
