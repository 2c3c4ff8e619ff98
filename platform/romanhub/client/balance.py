"""What the user has, what runs now and what that has cost so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from romanhub.client.account import Running, counted, credits_text, read_me, read_statement, read_tiers
from romanhub.client.connection import Portal


@dataclass(frozen=True)
class Item:
    """Things of one kind that run now, together: `count` of them at `price` credits an hour in all."""

    label: str
    count: int
    price: Decimal
    cost: Decimal

    def __str__(self) -> str:
        times = f"{self.count} x " if self.count > 1 else ""
        return f"{times}{self.label}: {credits_text(self.price)} credits an hour, {credits_text(self.cost)} so far"


@dataclass(frozen=True)
class Balance:
    """What the user has: a moment's view; ask again for a newer one.

    `available` is in credits. `running` lists what runs now; `path` is the portal's path, where every
    charge is explained.
    """

    available: Decimal
    tier: str
    running: tuple[Item, ...]
    path: str

    @property
    def price(self) -> Decimal:
        """What everything that runs costs together, in credits an hour."""
        return sum((item.price for item in self.running), Decimal(0))

    @property
    def hours(self) -> Decimal | None:
        """How many hours the balance pays for what runs now; None when nothing that costs runs."""
        return max(self.available, Decimal(0)) / self.price if self.price else None

    def __repr__(self) -> str:
        lines = [f"{credits_text(self.available)} credits available ({self.tier} tier)", *self._notes()]
        return "\n".join([*lines, *(f"  {item}" for item in self.running)])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(str(item))}</li>" for item in self.running)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self._notes())
        return (
            f"<p><strong>{credits_text(self.available)} credits</strong> available "
            f"({escape(self.tier)} tier)</p>{notes}<ul>{items}</ul>"
            f'<p><a href="{escape(self.path, quote=True)}" target="_blank">Every charge, explained</a></p>'
        )

    def _notes(self) -> list[str]:
        if not self.running:
            return ["Nothing runs now."]
        if self.hours is None:
            return ["What runs now costs nothing:"]
        hours = counted(int(self.hours), "hour") if self.hours >= 1 else "less than an hour"
        return [
            f"What runs now costs {credits_text(self.price)} credits an hour, which the balance pays for {hours}:"
        ]


def balance() -> Balance:
    """Return what you have, what runs now and what that has cost so far.

    :raises OutsidePlatformError: where this is no server of the platform.
    :raises PortalUnavailableError: when the portal does not answer.
    :raises NotAllowedError: when the portal refuses the server's token.
    """
    return _balance_from(Portal.from_environment())


def _balance_from(portal: Portal) -> Balance:
    me, tiers = read_me(portal), read_tiers(portal)
    title = tiers.tiers[me.tier].title if me.tier in tiers.tiers else me.tier
    if me.balance is None:
        return Balance(Decimal(0), title, (), portal.path)
    statement = read_statement(portal)
    return Balance(statement.balance.available, title, _gathered(statement.running), portal.path)


def _gathered(running: Iterable[Running]) -> tuple[Item, ...]:
    """Put things with the same label and price together: ten workers are one line."""
    groups: dict[tuple[str, Decimal], list[Running]] = {}
    for each in running:
        groups.setdefault((each.label, each.price), []).append(each)
    return tuple(
        Item(label, len(group), price * len(group), sum((each.cost for each in group), Decimal(0)))
        for (label, price), group in groups.items()
    )
