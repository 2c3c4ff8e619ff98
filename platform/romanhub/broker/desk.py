"""Who asks, where they stand in the ledger, and what they may use. Where there is no answer in time, it is no."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import anyio
import anyio.to_thread
from hubquota.models.scratch import Scratch
from hubquota.services.ledger import Ledger
from hubquota.services.reads import DataRead, DataReads
from hubquota.services.scratch import ScratchSpaces
from hubquota.services.tiersfile import TiersFile
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

from romanhub.broker.products import Products
from romanhub.broker.standing import Standing, standing_of
from romanhub.models.credentials import ScratchPlace
from romanhub.models.datasets import Dataset
from romanhub.models.products import COMMUNITY, Product, entry_of
from romanhub.models.usage import UsageReport
from romanhub.portal.auth import NotAllowedError, NotSignedInError
from romanhub.portal.hub import HubClient
from romanhub.portal.settings import HubSettings
from romanhub.services.datasetsfile import DatasetsFile
from romanhub.services.scratchplaces import ScratchBucket

_AUTHORIZATION = re.compile(r"(?:bearer|token) +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)

_Found = TypeVar("_Found")


class NotWelcomeError(Exception):
    """The ledger or the file of data sets does not let somebody have what they ask for; `why` says so."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class LedgerUnavailableError(Exception):
    """The ledger did not answer, or not in time."""


@dataclass(frozen=True)
class Guest:
    """A person whose token was sent."""

    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Settled:
    """What a person's keys open."""

    datasets: dict[str, Dataset]
    scratch: dict[str, ScratchPlace]
    #: Data products of the community: those that were asked for, and no others.
    products: dict[str, Product]

    @property
    def readable(self) -> dict[str, Dataset]:
        """All that is to be read, by name."""
        return {**self.datasets, **self.products}


class Desk:
    """The hub, the ledger and the file of data sets."""

    def __init__(
        self,
        settings: HubSettings,
        hub: HubClient,
        *,
        ledger: Ledger,
        tiers: TiersFile,
        datasets: DatasetsFile,
        scratch: ScratchBucket,
        deadline: float,
        products: Products | None = None,
    ) -> None:
        """Use a ledger.

        Args:
            settings: the broker's place on the hub.
            hub: answers who is who.
            ledger: the ledger, on a database that has been set up.
            tiers: the tiers file.
            datasets: the file of data sets.
            scratch: the bucket that holds people's scratch.
            deadline: how long one question may wait for the ledger, in seconds.
            products: the community's data products; None where there are none.
        """
        self._products = products
        self._settings, self._hub = settings, hub
        self._ledger, self._tiers, self._datasets, self._deadline = ledger, tiers, datasets, deadline
        self._spaces, self._reads, self._bucket = ScratchSpaces.sharing(ledger), DataReads.sharing(ledger), scratch

    async def guest(self, request: Request) -> Guest:
        """Return who sends a request.

        Raises NotSignedInError, NotAllowedError (known to the hub, without the scope, or no person) and
        HubUnavailableError.
        """
        match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if match is None:
            raise NotSignedInError("Send a hub token as `Authorization: Bearer TOKEN`.")
        identity = await self._hub.identify(match[1])
        if identity is None:
            raise NotSignedInError("The hub does not know this token: it has ended or was taken back.")
        if not identity.scopes & self._settings.allowed_scopes:
            raise NotAllowedError(
                f"The token that was sent lacks the scope access:services!service={self._settings.service_name}."
            )
        if identity.kind != "user":
            raise NotAllowedError(f"{identity.name} is a service of the hub, and only people are given keys.")
        return Guest(identity.name, identity.groups)

    async def settle(
        self, guest: Guest, now: datetime, wanted: Collection[str] | None, *, with_scratch: bool = True
    ) -> Settled:
        """Return what a person's keys may open: of the data sets that are wanted, or of all.

        Products of the community are opened by name alone: all of them would not fit into the rights of one key.

        Raises NotWelcomeError and LedgerUnavailableError.
        """
        standing, spaces = await self._ask(lambda: self._look_up(guest.name, now))
        if standing.refusal is not None:
            raise NotWelcomeError(standing.refusal)
        readable = self._datasets.current().readable(guest.groups, now)
        products: dict[str, Product] = {}
        if wanted is not None:
            names = {name for name in wanted if name}
            products = await self._named({name for name in names if name.startswith(COMMUNITY)})
            names -= products.keys()
            if missing := sorted(names - readable.keys()):
                # One that is not theirs is told like one that is not there: an embargo's name is no secret, but
                # there is nothing to be learnt by trying.
                raise NotWelcomeError(
                    f"There is no data set {', '.join(missing)} that you may read. Those that you may: "
                    f"{', '.join(readable) or 'none'}."
                )
            readable = {name: one for name, one in readable.items() if name in names}
        own = {_called(one, guest.name): self._bucket.place(one) for one in spaces} if with_scratch else {}
        return Settled(readable, own, products)

    async def products(self, guest: Guest, now: datetime) -> dict[str, Product]:
        """Return the community's data products, by name; raises what `settle` raises."""
        await self.settle(guest, now, [""])
        products = self._products
        return {} if products is None else await self._ask(products.newest)

    async def _named(self, names: Collection[str]) -> dict[str, Product]:
        """Return products by name. Raises NotWelcomeError where one cannot be read, and LedgerUnavailableError."""
        products = self._products
        if not names or products is None:
            return {}
        found = await self._ask(lambda: products.named(names))
        for name in sorted(names - found.keys()):
            raise NotWelcomeError(await self._ask(lambda name=name: products.why_not(name)))  # type: ignore[misc]
        return found

    async def count(self, guest: Guest, report: UsageReport) -> bool:
        """Count what a process of a person has read; return whether it was new. Raises LedgerUnavailableError."""
        known = self._datasets.current().datasets.keys()
        # Of a product that was withdrawn meanwhile, what had been read before still counts.
        told = {one.dataset for one in report.reads}
        if unknown := sorted(name for name in told - known if self._products is None or entry_of(name) is None):
            raise NotWelcomeError(
                f"There is no data set {', '.join(unknown)}. Nothing of this report was counted."
            )
        found = [
            DataRead(one.dataset, one.region, report.cluster or "", one.bytes, one.requests)
            for one in report.reads
        ]
        return await self._ask(lambda: self._reads.count(guest.name, report.id, found))

    def _look_up(self, person: str, now: datetime) -> tuple[Standing, list[Scratch]]:
        standing = standing_of(self._ledger, self._tiers.current(), person)
        found = self._spaces.of_accounts(list(standing.accounts))
        # By the date, so that it does not depend on whether somebody has come by to write the end down.
        return standing, [one for one in found if one.ended_at is None and one.ends_at > now]

    async def ensure_up(self) -> None:
        """Raise LedgerUnavailableError unless the ledger answers."""
        await self._ask(lambda: self._ledger.account(""))

    async def _ask(self, question: Callable[[], _Found]) -> _Found:
        try:
            with anyio.fail_after(self._deadline):
                return await anyio.to_thread.run_sync(question, abandon_on_cancel=True)
        except (TimeoutError, SQLAlchemyError) as error:
            raise LedgerUnavailableError from error


def _called(one: Scratch, person: str) -> str:
    """What a person calls a scratch space: by its name, and where it is a project's, by both names."""
    return one.name if one.account == person else f"{one.account}/{one.name}"
