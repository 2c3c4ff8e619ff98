"""The classes that a hub finds by name: `c.JupyterHub.spawner_class = "quota-local"`, and so on."""

from __future__ import annotations

from jupyterhub.auth import DummyAuthenticator, PAMAuthenticator
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

from hubquota.hub.authenticator import QuotaAuthenticatorMixin
from hubquota.hub.spawner import QuotaSpawnerMixin


class QuotaLocalProcessSpawner(QuotaSpawnerMixin, LocalProcessSpawner):  # type: ignore[misc]
    """Servers as processes of the users of this machine, within their tier."""


class QuotaSimpleLocalProcessSpawner(QuotaSpawnerMixin, SimpleLocalProcessSpawner):  # type: ignore[misc]
    """Servers as processes of the hub's own user, within their tier; for trying things out."""


class QuotaPAMAuthenticator(QuotaAuthenticatorMixin, PAMAuthenticator):  # type: ignore[misc]
    """The users of this machine, with an account each."""


class QuotaDummyAuthenticator(QuotaAuthenticatorMixin, DummyAuthenticator):  # type: ignore[misc]
    """Anybody, with an account each; for trying things out."""
