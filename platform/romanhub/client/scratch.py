"""Scratch space from a notebook: its price first, then its path, and its end."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from romanhub.client.connection import Portal
from romanhub.client.credentials import CredentialSource, source
from romanhub.client.errors import ScratchRefusedError

_SIZE = re.compile(r"(\d+)\s*(GiB|TiB)", re.IGNORECASE)


class ScratchState(BaseModel):
    """A scratch space, as the portal says it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: int = Field(description="Its number.")
    account: str = Field(description="The account that pays.")
    name: str = Field(description="Its name.")
    gib: int = Field(description="Its size in GiB.")
    state: str = Field(description="Whether it is open.")
    price: Decimal = Field(description="What it costs, in credits an hour.")
    ends_at: datetime = Field(description="When it ends.")
    used: int | None = Field(description="What was in it at the last look, in bytes.")


class _Listed(BaseModel):
    scratch: tuple[ScratchState, ...]


class _Me(BaseModel):
    name: str


class _Quote(BaseModel):
    price: Decimal
    ends_at: datetime


class Scratch:
    """A scratch space: a folder in the storage that its account pays for until its end."""

    def __init__(self, state: ScratchState, portal: Portal, keys: CredentialSource, key: str) -> None:
        self._state, self._portal, self._keys, self._key = state, portal, keys, key

    @property
    def name(self) -> str:
        """Its name."""
        return self._state.name

    @property
    def ends(self) -> datetime:
        """When it ends, in UTC."""
        return self._state.ends_at

    @property
    def path(self) -> str:
        """Where it is, ending in a slash: what s3fs, pandas, xarray or dask take, with no key.

        :raises ScratchRefusedError: it has ended.
        """
        keys = self._keys.current()
        if self._key not in keys.scratch:
            # Those that are kept may be from before it was made.
            keys = self._keys.current(refused=keys)
        place = keys.scratch.get(self._key)
        if place is None:
            raise ScratchRefusedError(f"The scratch space {self.name} has ended. Extend it to open it again.")
        return f"s3://{place.bucket}/{place.prefix}"

    def extend(self, days: int) -> Scratch:
        """Put off its end by so many days; one that has ended and is still there is open again.

        :raises ScratchRefusedError: the platform refuses, and says why.
        """
        wanted = {"days": days, "ends_at": self._state.ends_at.isoformat()}
        self._state = self._portal.post(f"api/scratch/{self._state.id}/extension", wanted, ScratchState)
        return self

    def release(self) -> Scratch:
        """End it now; nothing more is charged, and what is in it is kept for some days only."""
        self._state = self._portal.post(f"api/scratch/{self._state.id}/release", {}, ScratchState)
        return self

    def __repr__(self) -> str:
        one = self._state
        until = f"until {one.ends_at:%Y-%m-%d %H:%M} UTC" if one.state == "open" else "ended"
        used = "" if one.used is None else f", {one.used / 1024**3:.1f} GiB in it"
        return f"<scratch {one.name}: {one.gib} GiB{used}, {until}, {one.price.normalize():f} credits an hour>"


def scratch(
    name: str = "work",
    *,
    size: str | int | None = None,
    days: int = 30,
    account: str | None = None,
    yes: bool = False,
    ask: Callable[[str], str] = input,
    portal: Portal | None = None,
    keys: CredentialSource | None = None,
) -> Scratch:
    """Return your scratch space of a name; where there is none, say what it would cost, ask, and make it.

    :param name: its name: lower-case letters, digits and hyphens.
    :param size: its size, such as "100 GiB" or a number of GiB; only needed to make one.
    :param days: it ends after so many days. It can be extended.
    :param account: the account that pays, such as a project of yours; your own if not given.
    :param yes: make it without being asked.
    :param ask: how the question is asked.
    :param portal: the platform's portal; that of this server if not given.
    :param keys: where keys come from; this server's broker if not given.
    :raises ScratchRefusedError: it was not made; the message says why.
    """
    portal = portal or Portal.from_environment()
    keys = keys or source()
    own = portal.get("api/me", _Me).name
    payer = account or own
    key = name if payer == own else f"{payer}/{name}"
    for one in portal.get("api/scratch", _Listed).scratch:
        if (one.name, one.account) == (name, payer) and one.state in ("open", "ended"):
            return Scratch(one, portal, keys, key)
    if size is None:
        raise ScratchRefusedError(
            f"There is no scratch space {name} on {payer}. Give a size to make one, such as "
            f'romanhub.scratch("{name}", size="100 GiB", days=30).'
        )
    gib = _gib(size)
    quote = portal.get(f"api/scratch/price?gib={gib}&days={days}", _Quote)
    told = (
        f"{gib} GiB for {days} days, until {quote.ends_at:%Y-%m-%d}, cost {quote.price.normalize():f} credits; "
        "less if you release it earlier."
    )
    if yes:
        print(told)  # noqa: T201  -- a notebook's user reads it
    elif ask(f"{told} Make it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise ScratchRefusedError("No scratch space was made.")
    wanted = {"name": name, "gib": gib, "days": days, "account": account}
    return Scratch(portal.post("api/scratch", wanted, ScratchState), portal, keys, key)


def _gib(size: str | int) -> int:
    """Return a size in GiB; raises ValueError where it is none."""
    if isinstance(size, int):
        return size
    found = _SIZE.fullmatch(size.strip())
    if found is None:
        raise ValueError(f'\'{size}\' is not a size: write it such as "100 GiB" or "2 TiB".')
    return int(found[1]) * (1024 if found[2].lower() == "tib" else 1)
