"""The classes that a hub finds by name: `c.JupyterHub.spawner_class = "quota-local"`, and so on."""

from __future__ import annotations

from jupyterhub.auth import DummyAuthenticator, PAMAuthenticator
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner
from traitlets import default

from hubquota.hub.authenticator import QuotaAuthenticatorMixin
from hubquota.hub.spawner import QuotaSpawnerMixin


class QuotaLocalProcessSpawner(QuotaSpawnerMixin, LocalProcessSpawner):  # type: ignore[misc]
    """Servers as processes of the users of this machine, within their tier."""


class QuotaSimpleLocalProcessSpawner(QuotaSpawnerMixin, SimpleLocalProcessSpawner):  # type: ignore[misc]
    """Servers as processes of the hub's own user, within their tier; for trying things out."""


class _WithoutProvider(QuotaAuthenticatorMixin):
    """Who signs in here is asked for nothing elsewhere, so the hub may look anew whenever it likes."""

    @default("refresh_pre_stop")
    def _default_refresh_pre_stop(self) -> bool:
        # The hub says who stopped a server only where it looks anew before.
        return True


class QuotaPAMAuthenticator(_WithoutProvider, PAMAuthenticator):  # type: ignore[misc]
    """The users of this machine, with an account each."""


class QuotaDummyAuthenticator(_WithoutProvider, DummyAuthenticator):  # type: ignore[misc]
    """Anybody, with an account each; for trying things out."""
