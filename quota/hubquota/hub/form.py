"""The fragment of HTML that the hub's spawn page shows inside its form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from hubquota.models.ledger import Balance
from hubquota.models.money import format_credits
from hubquota.models.tiers import Size, Tiers
from hubquota.models.words import duration_text
from hubquota.services.describe import SizeRow, linked, size_rows
from hubquota.services.ledger import MINIMUM_SECONDS

#: The names of the form's fields, and of the options that a start by REST gives.
SIZE = "size"
ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Payer:
    """An account that the user may draw on."""

    name: str
    tier: str
    balance: Balance
    #: The sizes that can be started on it, with their prices; those of its tier if not given.
    sizes: Mapping[str, Size] | None = None
    #: That it is in grace, so that these are sizes of a clean-up server; empty where it is not.
    notice: str = ""


@dataclass(frozen=True, slots=True)
class _Choice:
    """A size, as one or several accounts can pay for it."""

    size: SizeRow
    #: What it costs and how much of it is left, by account where there are several.
    terms: str
    #: Why nobody can pay for it; empty where somebody can.
    reason: str


def wanted_size(next_address: str) -> str:
    """Return the size that a link into a server asks for: `size` in the query of where it goes on to.

    The hub starts a server at once where its own spawn page has a query; what that page goes on to is ours.
    """
    return parse_qs(urlsplit(next_address).query).get(SIZE, [""])[0]


def size_form(tiers: Tiers, payers: Sequence[Payer], *, notices: Sequence[str] = (), wanted: str = "") -> str:
    """Return the choice of sizes as HTML: one radio card a size, those out of reach disabled.

    Where the user may draw on several accounts, the sizes of all of them are shown; a start checks that the two
    go together. Chosen already is what can be started: on the first account that pays for something, or else a
    clean-up server.

    Args:
        tiers: what the tiers file says.
        payers: the accounts that the user may draw on, their own first; one at least.
        notices: what is to be said about accounts on which nothing can be started.
        wanted: the size that is chosen already, where somebody can pay for it.

    Raises:
        KeyError: there is no such tier.
    """
    rows = {
        payer.name: size_rows(
            tiers.sizes_of(payer.tier) if payer.sizes is None else payer.sizes,
            tiers.tiers[payer.tier].default_size,
            payer.balance.available,
        )
        for payer in payers
    }
    choices = _choices(tiers, rows, {payer.name for payer in payers if payer.notice})
    first = payers[0]
    paying = next(
        (payer for payer in sorted(payers, key=lambda one: bool(one.notice)) if _chosen(rows[payer.name])), first
    )
    taken = first.balance.accrued + first.balance.set_aside
    return _template().render(
        trouble=None,
        notices=[linked(text) for text in (*notices, *(payer.notice for payer in payers)) if text],
        tier=tiers.tiers[first.tier],
        payers=[
            (payer.name, tiers.tiers[payer.tier].title, format_credits(payer.balance.available))
            for payer in payers
        ],
        paying=paying.name,
        sizes=choices,
        chosen=_chosen(rows[paying.name], wanted),
        available=format_credits(first.balance.available),
        posted=format_credits(first.balance.posted),
        taken=format_credits(taken, rounding="up") if taken else "",
        minimum=duration_text(MINIMUM_SECONDS),
        ask=linked(tiers.ask),
    )


def trouble_form(message: str) -> str:
    """Return HTML that says, in place of the choice, why nothing can be started."""
    return _template().render(trouble=linked(message))


def _choices(tiers: Tiers, rows: Mapping[str, Sequence[SizeRow]], in_grace: Set[str]) -> list[_Choice]:
    choices: list[_Choice] = []
    for name in tiers.sizes:
        found = {payer: row for payer, sizes in rows.items() for row in sizes if row.name == name}
        if not found:
            continue
        within = {payer: row for payer, row in found.items() if row.affordable}
        size = next(iter((within or found).values()))
        if len(rows) == 1:
            terms = _joined(size.price_text, size.hours_text)
        elif in_grace & within.keys():
            terms = "; ".join(
                f"{payer}: {_joined('clean-up' if payer in in_grace else '', row.price_text, row.hours_text)}"
                for payer, row in within.items()
            )
        else:
            left = "; ".join(f"{payer}: {row.hours_text or 'any time'}" for payer, row in within.items())
            terms = _joined(size.price_text, left)
        choices.append(_Choice(size, terms, "" if within else size.reason))
    return choices


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _chosen(rows: Sequence[SizeRow], wanted: str = "") -> str | None:
    """Return the size that is chosen already: the wanted one, the tier's default, or the first within reach."""
    within = [row for row in rows if row.affordable]
    return next(
        (row.name for row in sorted(within, key=lambda row: (row.name != wanted, not row.is_default))), None
    )


@cache
def _template() -> Template:
    environment = Environment(loader=PackageLoader("hubquota.hub"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("form.html")
