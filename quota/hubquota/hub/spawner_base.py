"""What the parts of the spawner's mixin share: its settings, and its ways to the ledger and the tiers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from inspect import isawaitable
from typing import Any

from traitlets import Enum, Float, Unicode, default
from traitlets.config import LoggingConfigurable

from hubquota.hub.allowance import AllowanceDesk, allowance_for
from hubquota.hub.desk import LedgerDesk, desk_for
from hubquota.hub.keys import server_key
from hubquota.hub.settings import setting
from hubquota.models.ledger import Refused
from hubquota.models.tiers import Tiers
from hubquota.services.tiersfile import TiersFile, TiersFileError, tiers_file

log = logging.getLogger(__name__)

_TIERS_BROKEN = (
    "The platform's tiers cannot be read, so no server can be started. Whoever runs the platform finds "
    "the reason in the hub's log."
)


class QuotaBase(LoggingConfigurable):
    """The settings of `QuotaSpawnerMixin`. No spawner by itself: the hub checks that those can start something."""

    # JupyterHub's `Spawner` has these; they are here for whoever reads the methods below.
    user: Any
    name: str
    user_options: Any

    quota_tiers_file = Unicode(
        help="The tiers file. It is read again when it changes; see `hubquota tiers check`.",
        config=True,
    )
    quota_database_url = Unicode(
        help="The ledger's database, such as sqlite:////srv/quota/ledger.sqlite. `hubquota migrate` sets it up.",
        config=True,
    )
    quota_deadline = Float(
        5.0,
        min=0.1,
        help="Seconds that a decision of the ledger may take. A start that gets none is refused.",
        config=True,
    )

    quota_when_down = Enum(
        ["closed", "allowance"],
        default_value="closed",
        help="What happens to a start while the ledger's database does not answer: 'closed' refuses it; "
        "'allowance' allows what the tiers file says under `when_down`, and writes it to the ledger later.",
        config=True,
    )
    quota_allowance_file = Unicode(
        "hubquota-allowance.sqlite",
        help="Where the hub notes what it started while the ledger's database did not answer.",
        config=True,
    )

    quota_hub = Unicode(
        help="This hub's name, where several hubs share one ledger: small letters, digits and hyphens. Its "
        "watch is given the same name.",
        config=True,
    )

    #: What the identity provider says of the user, where the hub keeps it.
    _claims: Mapping[str, Any] | None = None

    @default("quota_tiers_file")
    def _default_tiers_file(self) -> str:
        return setting(self.config, "quota_tiers_file")

    @default("quota_database_url")
    def _default_database_url(self) -> str:
        return setting(self.config, "quota_database_url")

    @property
    def _user_row(self) -> Any:
        # JupyterHub's `User` passes names and groups on from here, by way of an error each: half the cost of a
        # question to the ledger.
        return self.user.orm_user

    @property
    def _key(self) -> str:
        # A user can be renamed.
        return server_key(self._user_row.name, *self._server_and_hub)

    # What a spawner is for and was configured with stays; to read it anew costs as much as the rest of a start.
    @cached_property
    def _server_and_hub(self) -> tuple[str, str]:
        return self.name, self.quota_hub

    @cached_property
    def _desk(self) -> LedgerDesk:
        return desk_for(self.quota_database_url, self.quota_deadline, self.quota_tiers_file)

    @cached_property
    def _allowance(self) -> AllowanceDesk:
        return allowance_for(
            self.quota_allowance_file, self.quota_database_url, self.quota_deadline, self.quota_tiers_file
        )

    @cached_property
    def _with_allowance(self) -> bool:
        """Whether something may be started without the ledger."""
        return bool(self.quota_when_down == "allowance")

    def _tiers(self) -> Tiers:
        return self._tiers_file.current()

    @cached_property
    def _tiers_file(self) -> TiersFile:
        try:
            return tiers_file(self.quota_tiers_file)
        except TiersFileError as error:
            log.error("The tiers file has mistakes.\n%s", error)
            raise Refused(limit="unavailable", message=_TIERS_BROKEN) from error

    def _groups(self) -> set[str]:
        return groups_of(self._user_row)


def groups_of(row: Any) -> set[str]:
    """Return the names of the groups of a user, whose row in the hub's database it is."""
    return {group.name for group in row.groups}


async def finished(result: Any) -> Any:
    """Return what a method of another spawner returns, whether it is a coroutine function or not."""
    return await result if isawaitable(result) else result
