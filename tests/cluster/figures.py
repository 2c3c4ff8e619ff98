"""What an install on a node took: kept by the test that does one, and shown on the operator's page."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from tests.bench.rows import machine

ROOT = Path(__file__).resolve().parents[2]

#: Where the figures of the last run are kept, and the page that shows them.
KEPT = ROOT / "build" / "cluster.json"
PAGE = ROOT / "docs" / "operator-kubernetes.md"

#: Between these two lines of the page they stand.
BEGIN, END = "<!-- install begin -->", "<!-- install end -->"


class Figures(BaseModel):
    """What one install and the use of it took."""

    measured: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC), description="When, in UTC.")
    machine: str = Field(default_factory=machine, description="On what.")
    load: list[float] = Field(
        default_factory=list,
        description="After each step, how many processes had wanted a core in the minute before; in any order.",
    )
    seconds: dict[str, float] = Field(default_factory=dict, description="How long each step took, in seconds.")
    memory: dict[str, list[float]] = Field(
        default_factory=dict, description="What each pod of a part held, as its working set, in MiB."
    )

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long something takes, where it ends well."""
        began = time.monotonic()
        yield
        self.note(step, time.monotonic() - began)

    def note(self, step: str, seconds: float) -> None:
        """Note how long something took, and what the machine had to do meanwhile."""
        self.seconds[step] = seconds
        self.load.append(os.getloadavg()[0])

    def weigh(self, summary: dict[str, Any], parts: dict[str, str]) -> None:
        """Note what pods hold, from a kubelet's summary; of a part that was weighed before, the new one counts.

        Parameters
        ----------
        summary
            What the kubelet says (`/stats/summary`).
        parts
            The pods' names, each with its part. Of others nothing is noted.
        """
        held: dict[str, list[float]] = defaultdict(list)
        for pod in summary["pods"]:
            used = sum(one.get("memory", {}).get("workingSetBytes", 0) for one in pod.get("containers", ()))
            if used and (part := parts.get(pod["podRef"]["name"])):
                held[part].append(used / 2**20)
        self.memory.update(held)

    def keep(self) -> None:
        """Write them to `build/cluster.json`."""
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(self.model_dump_json(indent=2) + "\n")

    def markdown(self) -> str:
        """Two tables, and on what and beside how much else they were measured."""
        low, high = min(self.load), max(self.load)
        steps = [f"| {step} | {seconds:.{int(seconds < 10)}f} |" for step, seconds in self.seconds.items()]
        parts = [
            f"| {part} | {len(held)} | {sum(held) / len(held):.0f} |" for part, held in sorted(self.memory.items())
        ]
        return "\n".join(
            [
                f"Measured on {self.measured:%Y-%m-%d}, on {self.machine}.",
                f"Meanwhile between {low:.0f} and {high:.0f} processes wanted a core, other work's among them.",
                "",
                "| step | seconds |",
                "| --- | --- |",
                *steps,
                "",
                "| part | pods | memory of each (working set), MiB |",
                "| --- | --- | --- |",
                *parts,
                "",
            ]
        )


def write_page() -> None:
    """Put the figures that are kept into the operator's page."""
    if not KEPT.exists():
        raise SystemExit(f"There are no figures yet: {KEPT.relative_to(ROOT)} is written by an install.")
    before, found, rest = PAGE.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{PAGE.name} has no lines {BEGIN} and {END} for the figures to stand between.")
    figures = Figures.model_validate_json(KEPT.read_bytes())
    PAGE.write_text(f"{before}{BEGIN}\n{figures.markdown()}{END}{after}")
