"""An institution's accounts, with what opens a person's account in the ledger at their first sign-in.

Beside `romanhub.sign_in.accounts`, because what this needs takes as long to import as a third of a hub's start: a
hub imports it where an institution is configured.
"""

from __future__ import annotations

import httpx
from hubquota.hub.authenticator import QuotaAuthenticatorMixin
from traitlets.config import Config

from romanhub.sign_in import oidc
from romanhub.sign_in.institution import InstitutionAuthenticator
from romanhub.sign_in.settings import OidcSettings


class InstitutionAccounts(QuotaAuthenticatorMixin, InstitutionAuthenticator):  # type: ignore[misc]
    """An institution's accounts."""


def configure(c: Config, provider: OidcSettings) -> None:
    """Have a hub sign people in through an institution's provider, as that describes itself.

    Raises
    ------
    SetupError
        The provider does not answer, or not as it has to.
    """
    with httpx.Client(timeout=10) as client:
        oidc.configure(c, provider, oidc.discover(provider, client))
    c.JupyterHub.authenticator_class = InstitutionAccounts
