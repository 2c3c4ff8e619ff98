"""A mixin that makes any authenticator open a user's account at sign-in, on the tier that the rules say.

class QuotaAuthenticator(QuotaAuthenticatorMixin, GenericOAuthenticator):
    pass

c.JupyterHub.authenticator_class = QuotaAuthenticator

A start opens an account too. But only at sign-in is it certain what the identity provider says of a user, so
rules on claims need this mixin, or `Authenticator.enable_auth_state`, or both.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Float, Set, Unicode, default

from hubquota.hub.accounts import open_first_account
from hubquota.hub.desk import LedgerDesk, desk_for
from hubquota.hub.settings import setting
from hubquota.hub.spawner_base import finished
from hubquota.hub.stoppers import note_asker
from hubquota.models.ledger import Refused
from hubquota.services.ledger import Ledger
from hubquota.services.tiersfile import TiersFileError, tiers_file

log = logging.getLogger(__name__)


class QuotaAuthenticatorMixin(Authenticator):  # type: ignore[misc]
    """Put this before an authenticator's class. It overrides public methods of JupyterHub's `Authenticator` only.

    Nobody is kept from signing in: who has no credits, or whose allocation is suspended, reads why.
    """

    quota_tiers_file = Unicode(help="The tiers file; the spawner's if not given.", config=True)
    quota_database_url = Unicode(help="The ledger's database; the spawner's if not given.", config=True)
    quota_deadline = Float(
        2.0,
        min=0.1,
        help="Seconds that a sign-in waits for the ledger. Then the account is opened later.",
        config=True,
    )

    quota_programs = Set(
        Unicode(),
        help=(
            "Accounts of programs, as which nobody can sign in. Unlike those in `blocked_users`, they keep their "
            "roles and their servers when the hub starts again."
        ),
        config=True,
    )

    def check_blocked_users(self, username: str, authentication: Any = None) -> Any:
        """Say whether somebody may sign in under a name, which is nobody's where it is a program's."""
        return username not in self.quota_programs and super().check_blocked_users(username, authentication)

    @default("quota_tiers_file")
    def _default_tiers_file(self) -> str:
        return setting(self.config, "quota_tiers_file")

    @default("quota_database_url")
    def _default_database_url(self) -> str:
        return setting(self.config, "quota_database_url")

    async def run_post_auth_hook(self, handler: Any, auth_model: Any) -> Any:
        """Run the hook that the configuration may have, then open the account of who is signing in."""
        model = await finished(super().run_post_auth_hook(handler, auth_model))
        if model:
            find = getattr(handler, "find_user", None)
            await self._open(model["name"], model, find(model["name"]) if find else None)
        return model

    async def refresh_user(self, user: Any, handler: Any = None) -> Any:
        """Refresh the user as the authenticator does, and open the account if it could not be before.

        It matters for who signed in before the ledger was put in. With `refresh_pre_stop`, it also notes who asks
        for a stop, which the server's end then says.
        """
        note_asker(user, handler)
        refreshed = await finished(super().refresh_user(user, handler))
        if refreshed and user.name not in self._known:
            model = dict(refreshed) if isinstance(refreshed, Mapping) else {}
            if not model.get("auth_state") and self.enable_auth_state:
                model["auth_state"] = await user.get_auth_state()
            await self._open(user.name, model, user)
        return refreshed

    @property
    def _known(self) -> set[str]:
        """The users whose accounts this process has opened or found open."""
        known: set[str] = self.__dict__.setdefault("_quota_known", set())
        return known

    def _desk(self) -> LedgerDesk:
        return desk_for(self.quota_database_url, self.quota_deadline, self.quota_tiers_file)

    async def _open(self, name: str, model: Mapping[str, Any], user: Any) -> None:
        groups = model.get("groups")
        if groups is None:
            groups = [group.name for group in user.groups] if user is not None else []
        claims = model.get("auth_state")
        known = self._known

        def act(ledger: Ledger) -> None:
            # Read here, in a thread: a file that has changed takes longer than the hub's loop may be held.
            tiers = tiers_file(self.quota_tiers_file).current()
            open_first_account(ledger, tiers, name, groups, claims, actor="sign-in")
            known.add(name)

        try:
            await self._desk().settle(f"account:{name}", act)
        except Refused as refused:
            log.warning("%s has no account of their own: %s", name, refused.message)
        except TiersFileError as error:
            # The first start will open it, when the file is right.
            log.error("The tiers file has mistakes.\n%s", error)
