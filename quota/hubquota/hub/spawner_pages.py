"""The part of the spawner's mixin that people see: the form, and the notes on the hub's pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from jupyterhub.spawner import Spawner
from markupsafe import Markup
from traitlets import default

from hubquota.hub.desk import LedgerDownError
from hubquota.hub.form import ACCOUNT, SIZE, Payer, size_form, trouble_form, wanted_size
from hubquota.hub.keys import server_key
from hubquota.hub.notes import notes_html, standing
from hubquota.hub.offers import offers_for
from hubquota.hub.options import options_from_form
from hubquota.hub.spawner_base import finished
from hubquota.hub.spawner_grace import CAN_DO, QuotaGrace
from hubquota.models.ledger import Balance, Refused

#: What people read where the ledger does not answer.
LEDGER_DOWN = (
    "The accounts cannot be read at the moment, so no server can be started. Servers that run go on "
    "running. Please try again in a few minutes."
)


class QuotaPages(QuotaGrace):
    """The form and the notes of `QuotaSpawnerMixin`."""

    #: The names of the options that a start may have. A subclass that understands more adds them.
    quota_options: frozenset[str] = frozenset({SIZE, ACCOUNT})

    # JupyterHub's `Spawner` has it.
    options_form: Any

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Callable[[Spawner, dict[str, Any]], None]:
        # They are applied with the admission; without this the hub would warn about each of them.
        return lambda _spawner, _options: None

    async def get_options_form(self) -> str:
        """Return the choice of sizes, and below it the form that the configuration or the spawner has itself."""
        own = await finished(super().get_options_form())  # type: ignore[misc]
        return f"{await self.quota_form()}{own or ''}"

    def run_options_from_form(self, form_data: Mapping[str, Any]) -> Any:
        """Return a filled form as options: ours, and what a form of its own makes of the rest."""
        if not self.options_form:
            return options_from_form(form_data)
        ours = {name: values for name, values in form_data.items() if name in self.quota_options}
        rest = {name: values for name, values in form_data.items() if name not in ours and name != "_xsrf"}
        return {**super().run_options_from_form(rest), **options_from_form(ours)}  # type: ignore[misc]

    def options_from_query(self, query_data: Mapping[str, Any]) -> Any:
        """Return what the address of a start asks for, as from the form."""
        return self.run_options_from_form(query_data)

    async def quota_form(self) -> str:
        """Return the choice of sizes as HTML, or the reason why there is none."""
        name = self.user.name
        self._allowance.wake()
        try:
            # In a thread: a file that has changed takes longer to read than the hub's loop may be held.
            tiers = await asyncio.to_thread(self._tiers)
            groups, claims = self._groups(), self._claims
            first = tiers.tier_for(groups, claims)
            can_do = CAN_DO[self.quota_clean_up_home]
            offers = await self._desk.ask(lambda ledger: offers_for(ledger, tiers, name, groups, clean_up=can_do))
        except Refused as refused:
            return trouble_form(refused.message)
        except LedgerDownError:
            return trouble_form(LEDGER_DOWN)
        if self._with_allowance:
            await self._allowance.offered(name, offers.own)
        payers = offers.payers
        if name not in {*offers.closed, *(payer.name for payer in payers)}:
            # The account is opened by the first start; until then, what it will be opened with.
            opened = Balance(posted=tiers.tiers[first].budget_units, accrued=0, set_aside=0)
            payers.insert(0, Payer(name, first, opened))
        if payers:
            # The hub's own page sets it; a test's stand-in for a spawner, or a start by REST, has none.
            handler = getattr(self, "handler", None)
            wanted = wanted_size(handler.get_argument("next", "")) if handler is not None else ""
            form = size_form(tiers, payers, notices=list(offers.closed.values()), wanted=wanted)
        else:
            form = trouble_form(" ".join(offers.closed.values()))
        return f"{await self._notes(self._key)}{form}"

    async def quota_notes(self) -> Markup:
        """Return what there is to say about the user's servers, as HTML for the hub's pages.

        It warns of what is about to be stopped, and says why the last server ended. The spawn form has it
        already, for its own server; `hubquota.hub.template_paths` puts it on the hub's home page. Empty without
        the ledger.
        """
        return await self._notes(None)

    async def _notes(self, key: str | None) -> Markup:
        name, now, active = self.user.name, self._desk.now(), self._activity()
        try:
            tiers = await asyncio.to_thread(self._tiers)
            return notes_html(
                await self._desk.ask(lambda ledger: standing(ledger, tiers, name, now, active, key=key))
            )
        except (Refused, LedgerDownError):
            return Markup("")

    def _activity(self) -> dict[str, datetime | None]:
        """Return when the hub last noted activity in each of the user's servers, by the key of its lease."""
        found: dict[str, datetime | None] = {}
        for server, spawner in dict(getattr(self.user, "spawners", {})).items():
            at = getattr(spawner.orm_spawner, "last_activity", None)
            # The hub's database keeps times in UTC without saying so.
            found[server_key(self.user.name, server, self.quota_hub)] = (
                at.replace(tzinfo=UTC) if at is not None else None
            )
        return found
