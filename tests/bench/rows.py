"""What a benchmark hands back, and how it is kept and shown."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, computed_field

ROOT = Path(__file__).resolve().parents[2]

#: Where the rows are kept from one run to the next, and the page that shows them.
KEPT = ROOT / "build" / "bench.json"
PAGE = ROOT / "docs" / "benchmarks.md"

#: Between these two lines of the page stands the table.
BEGIN, END = "<!-- bench begin -->", "<!-- bench end -->"


def machine() -> str:
    """What this machine is."""
    return f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory"


class Row(BaseModel):
    """One figure, with what it is compared with."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="The benchmark's name, or that and what of it the row is about.")
    value: float = Field(description="Our figure: a median unless the documentation says otherwise.")
    unit: str = Field(description="What the figure and the one beside it are in.")
    against: str = Field(default="", description="What the figure is compared with.")
    versus: float | None = Field(default=None, gt=0, description="The figure of that, from the same run.")
    goal: str | None = Field(
        default=None, pattern=r"^(<=|>=) \d+(\.\d+)?$", description="What the ratio ought to be."
    )
    runs: int = Field(description="How many times each side was measured.")
    measured: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC), description="When, in UTC.")
    machine: str = Field(default_factory=machine, description="On what.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ratio(self) -> float | None:
        """Our figure over the other one."""
        return None if self.versus is None else self.value / self.versus

    @computed_field  # type: ignore[prop-decorator]
    @property
    def met(self) -> bool | None:
        """Whether the ratio is what it ought to be; None where no goal is set."""
        if self.goal is None or self.ratio is None:
            return None
        bound, _, number = self.goal.partition(" ")
        return self.ratio <= float(number) if bound == "<=" else self.ratio >= float(number)


_ROWS = TypeAdapter(list[Row])


def keep(rows: Sequence[Row], order: Sequence[str]) -> None:
    """Write the rows to `build/bench.json`, in the place of those of the same benchmarks.

    Parameters
    ----------
    rows
        All the rows of one or more benchmarks.
    order
        The benchmarks' names, in the order of the file. What is no longer a benchmark is left out.
    """
    new = {_benchmark(row.name) for row in rows}
    others = [row for row in kept() if _benchmark(row.name) not in new and _benchmark(row.name) in order]
    KEPT.parent.mkdir(exist_ok=True)
    whole = sorted([*others, *rows], key=lambda row: order.index(_benchmark(row.name)))
    KEPT.write_bytes(_ROWS.dump_json(whole, indent=2) + b"\n")


def kept() -> list[Row]:
    """The rows that are kept, each of the last run of its benchmark; none where there has been no run."""
    return _ROWS.validate_json(KEPT.read_bytes()) if KEPT.exists() else []


def _benchmark(name: str) -> str:
    """The name of the benchmark that a row of that name is of."""
    return name.partition(":")[0]


def table(rows: Sequence[Row]) -> str:
    """The rows as a table for a terminal."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)


def markdown(rows: Sequence[Row], page: str = "") -> str:
    """The rows as a table in Markdown, with when and on what they were measured.

    Args:
        rows: what was measured.
        page: a table that is there already; the lines of other benchmarks stay in it, with their days.
    """
    news = {
        _benchmark(row.name): [one for one in rows if _benchmark(one.name) == _benchmark(row.name)] for row in rows
    }
    days, machines = {f"{row.measured:%Y-%m-%d}" for row in rows}, {row.machine for row in rows}
    lines, put = [], set()
    for line in page.splitlines():
        if said := _MEASURED.fullmatch(line):
            days |= set(said[1].split(", "))
            machines |= set(said[2].split(" and "))
        elif line.startswith("| ") and not line.startswith(("| ---", f"| {_HEAD[0]} |")):
            name = _benchmark(line.removeprefix("| ").partition(" | ")[0])
            if name not in news:
                lines.append(line)
            elif name not in put:
                put.add(name)
                lines += map(_line, news[name])
    lines += [_line(row) for name, found in news.items() if name not in put for row in found]
    return (
        f"Measured on {', '.join(sorted(days))}, on {' and '.join(sorted(machines))}.\n\n"
        + "\n".join([f"| {' | '.join(_HEAD)} |", f"| {' | '.join(['---'] * len(_HEAD))} |", *lines])
        + "\n"
    )


def _line(row: Row) -> str:
    return f"| {' | '.join(_cells(row))} |"


def write_page(rows: Sequence[Row]) -> None:
    """Put the rows into the documentation's table, in the place of those of the same benchmarks."""
    before, found, rest = PAGE.read_text().partition(BEGIN)
    there, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{PAGE.name} has no lines {BEGIN} and {END} for the table to stand between.")
    PAGE.write_text(f"{before}{BEGIN}\n{markdown(rows, there)}{END}{after}")


_MEASURED = re.compile(r"Measured on ([\d, -]+), on (.+)\.")

_HEAD = ("row", "ours", "compared with", "theirs", "ratio", "goal", "met", "runs")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{_number(row.value)} {row.unit}",
        row.against,
        "" if row.versus is None else f"{_number(row.versus)} {row.unit}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        # A browser shows the signs; in Markdown a bare "<" would begin a tag.
        "" if row.goal is None else re.sub("[<>]=", lambda sign: {"<=": "≤", ">=": "≥"}[sign[0]], row.goal),
        {True: "yes", False: "no", None: ""}[row.met],
        str(row.runs),
    )


def _number(value: float) -> str:
    """Three digits that count, and no more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
