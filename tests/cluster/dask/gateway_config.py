"""The gateway's configuration on Kubernetes as it is, with names for a sign-in: there is no hub here."""

from __future__ import annotations

from typing import Any

from romanhub.kubernetes.configure import configure

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821
configure(c)
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
# Traefik's part is not needed: nobody connects to a scheduler from outside here.
c.Proxy.externally_managed = True
