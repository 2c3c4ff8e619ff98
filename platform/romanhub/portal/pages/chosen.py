"""Which accounts the table of all accounts shows: what its fields ask for, as a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from hubquota.models.money import LARGEST, MOST_CREDITS, InexactAmountError, to_units
from hubquota.models.reading import AccountOrder, AccountQuery, AccountState

from romanhub.portal.pages.audit import day_of
from romanhub.portal.problems import invalid

#: The names of the fields.
FIELDS = ("q", "tier", "state", "ending_before", "balance_below", "order")


def chosen_by(field: Callable[[str], str]) -> AccountQuery:
    """Return the query that fields ask for.

    Args:
        field: gives a field's text by its name; empty where it asks for nothing.

    Raises:
        PortalError: there is no such state or order, or a day or an amount cannot be read.
    """
    state, order = field("state"), field("order") or "name"
    for found, allowed, what in (
        (state, get_args(AccountState), "state"),
        (order, get_args(AccountOrder), "order"),
    ):
        if found and found not in allowed:
            raise invalid(f"There is no {what} '{found}'. There are {', '.join(allowed)}.")
    return AccountQuery(
        search=field("q").strip(),
        tier=field("tier") or None,
        state=state or None,  # type: ignore[arg-type]
        ending_before=day_of(field("ending_before")),
        balance_below=_units(field("balance_below")),
        order=order,  # type: ignore[arg-type]
    )


def _units(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        units = to_units(text.strip())
    except InexactAmountError as error:
        raise invalid(f"{error} Write an amount of credits such as 12.5.") from None
    if abs(units) > LARGEST:
        raise invalid(f"{text} credits cannot be meant: amounts go up to {MOST_CREDITS:,}.")
    return units
