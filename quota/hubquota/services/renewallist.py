"""Reading a list of renewals from CSV, and saying what is wrong on which line."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

from hubquota.models.money import LARGEST, MOST_CREDITS, InexactAmountError, to_units
from hubquota.models.renewals import Problem, Wanted

#: The columns, in any order; `credits` and `end` may be empty, for the tier's budget and term.
COLUMNS = ("account", "tier", "credits", "end", "reason")


def parse_renewals(text: str) -> tuple[list[Wanted], list[Problem]]:
    """Return what a list in CSV wants, and what is wrong with it.

    Args:
        text: a heading with the columns `account`, `tier`, `credits`, `end` and `reason`, then a line for each
            renewal. Credits are a number, an end is a day such as 2027-12-31, in UTC.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    wanted: list[Wanted] = []
    problems: list[Problem] = []
    try:
        heads = [head.strip().lower() for head in next(reader, [])]
        if sorted(heads) != sorted(COLUMNS):
            return [], [Problem(1, "", f"The first line names the columns: {', '.join(COLUMNS)}.")]
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(heads):
                problems.append(
                    Problem(reader.line_num, "", f"There are {len(cells)} columns; {len(heads)} are named.")
                )
                continue
            found = _line(reader.line_num, dict(zip(heads, (cell.strip() for cell in cells), strict=True)))
            if isinstance(found, Problem):
                problems.append(found)
            else:
                wanted.append(found)
    except csv.Error as error:
        problems.append(Problem(reader.line_num, "", f"This is not CSV: {error}."))
    return wanted, problems


def _line(number: int, cells: dict[str, str]) -> Wanted | Problem:
    account = cells["account"]
    for name in ("account", "tier", "reason"):
        if not cells[name]:
            return Problem(number, account, f"There is no {name}.")
    units: int | None = None
    if cells["credits"]:
        try:
            units = to_units(cells["credits"])
        except (InexactAmountError, ValueError) as error:
            return Problem(number, account, f"The credits '{cells['credits']}' are not a number: {error}")
        if units <= 0:
            return Problem(number, account, f"The credits '{cells['credits']}' are not above zero.")
        if units > LARGEST:
            most = f"{MOST_CREDITS:,}"
            return Problem(
                number, account, f"The credits '{cells['credits']}' are above {most}, which is the most."
            )
    end: datetime | None = None
    if cells["end"]:
        try:
            end = datetime.strptime(cells["end"], "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            return Problem(number, account, f"The end '{cells['end']}' is not a day such as 2027-12-31.")
    return Wanted(number, account, cells["tier"], units, end, cells["reason"])
