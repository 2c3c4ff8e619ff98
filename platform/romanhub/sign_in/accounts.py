"""Accounts of this machine, with what opens a person's account in the ledger at their first sign-in."""

from __future__ import annotations

from hubquota.hub.authenticator import QuotaAuthenticatorMixin

from romanhub.sign_in.local_accounts import LocalAccountsAuthenticator


class LocalAccounts(QuotaAuthenticatorMixin, LocalAccountsAuthenticator):
    """Accounts of this machine."""
