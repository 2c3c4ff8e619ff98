"""What a form of one of the portal's pages brings: who filled it in, and text by field."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from hubquota.models.money import LARGEST, MOST_CREDITS, InexactAmountError, to_units

from romanhub.portal.auth import Visitor
from romanhub.portal.inputs import clean_text
from romanhub.portal.problems import invalid


@dataclass(frozen=True)
class Form:
    """A form that somebody filled in."""

    visitor: Visitor
    fields: dict[str, list[str]]

    def text(self, name: str, *, longest: int = 20_000) -> str:
        """Return a field's text without blanks around it, empty if there is none; raises PortalError."""
        found = self.fields.get(name, [""])[0].strip().replace("\r\n", "\n")
        if len(found) > longest:
            raise invalid(f"The field '{name}' has more than {longest} letters. Shorten it.")
        return _clean(found)

    def texts(self, name: str) -> list[str]:
        """Return every value of a field of which there may be several."""
        return [_clean(found) for found in self.fields.get(name, []) if found]

    def number(self, name: str) -> int:
        """Return a whole number; raises PortalError."""
        found = self.text(name, longest=20)
        if not found.isascii() or not found.isdigit() or int(found) >= 2**63:
            raise invalid(f"The field '{name}' is to be a whole number, not '{found}'.")
        return int(found)

    def units(self, name: str, *, negative: bool = False) -> int:
        """Return an amount of credits in units; raises PortalError."""
        found = self.text(name, longest=40).replace("\N{MINUS SIGN}", "-")
        try:
            units = to_units(found)
        except InexactAmountError as error:
            raise invalid(f"{error} Write an amount of credits such as 12.5.") from None
        if abs(units) > LARGEST or (units < 0 and not negative):
            raise invalid(f"{found} credits cannot be meant: amounts are above zero and up to {MOST_CREDITS:,}.")
        return units

    def end_of(self, name: str) -> datetime | None:
        """Return the end of the day that a field names, in UTC; None where it is empty. Raises PortalError."""
        found = self.text(name, longest=20)
        if not found:
            return None
        try:
            day = date.fromisoformat(found)
        except ValueError:
            raise invalid(f"'{found}' is no day. Write it as year-month-day, such as 2027-03-31.") from None
        if not 2000 <= day.year <= 2200:
            raise invalid(f"The year {day.year} cannot be meant.")
        return datetime.combine(day, time(), UTC) + timedelta(days=1)

    def start_of(self, name: str) -> datetime | None:
        """Return the beginning of the day that a field names, in UTC; None where it is empty."""
        end = self.end_of(name)
        return None if end is None else end - timedelta(days=1)

    @property
    def once(self) -> str:
        """The key that makes a form that is sent twice count once."""
        return f"form:{self.visitor.name}:{self.text('once', longest=100) or new_key()}"


def _clean(text: str) -> str:
    try:
        return clean_text(text)
    except ValueError as error:
        raise invalid(str(error)) from None


def new_key() -> str:
    """Return a key that no other form has."""
    return secrets.token_urlsafe(12)
