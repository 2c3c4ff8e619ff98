"""The fragment of HTML that the hub's spawn page shows inside its form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from hubquota.models.ledger import Balance
from hubquota.models.money import format_credits
from hubquota.models.tiers import Tiers
from hubquota.models.words import duration_text
from hubquota.services.describe import SizeRow, linked, sizes_for
from hubquota.services.ledger import MINIMUM_SECONDS

#: The name of the form's field, and of the option that a start by REST gives.
SIZE = "size"


def size_form(tiers: Tiers, tier: str, balance: Balance) -> str:
    """Return the choice of sizes as HTML: one radio card a size, those out of reach disabled.

    Raises:
        KeyError: there is no such tier.
    """
    rows = sizes_for(tiers, tier, balance.available)
    taken = balance.accrued + balance.set_aside
    return _template().render(
        trouble=None,
        tier=tiers.tiers[tier],
        sizes=rows,
        chosen=_chosen(rows),
        available=format_credits(balance.available),
        posted=format_credits(balance.posted),
        taken=format_credits(taken, rounding="up") if taken else "",
        minimum=duration_text(MINIMUM_SECONDS),
        ask=linked(tiers.ask),
    )


def trouble_form(message: str) -> str:
    """Return HTML that says, in place of the choice, why nothing can be started."""
    return _template().render(trouble=linked(message))


def _chosen(rows: Sequence[SizeRow]) -> str | None:
    """Return the size that is chosen already: the tier's default, or the first within reach."""
    affordable = [row for row in rows if row.affordable]
    return next((row.name for row in sorted(affordable, key=lambda row: not row.is_default)), None)


@cache
def _template() -> Template:
    environment = Environment(loader=PackageLoader("hubquota.hub"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("form.html")
