"""The benchmarks' command line; `make bench` and `tests/run_bench.py` end here."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType

from tests.bench import (
    admission,
    admission_in_hubs,
    archive,
    community,
    community_runs,
    dask_clusters,
    dates,
    discovery,
    growth,
    hub_start,
    rows,
    sign_ins,
    spawn,
)
from tests.bench.rows import Row

BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "hub-start": hub_start.measure,
    "spawn": spawn.measure,
    "sign-ins": sign_ins.measure,
    "admission": admission_in_hubs.measure,
    "admission-sqlite": admission.measure,
    "admission-growth": growth.measure,
    "admission-growth-full": growth.measure_full,
    "discovery": discovery.measure,
    "discovery-footprints": discovery.measure_footprints,
    "discovery-rows": discovery.measure_rows,
    "sweep": dates.sweep,
    "year": dates.year,
    "archive": archive.measure,
    "community-runs": community_runs.measure,
    "dask": dask_clusters.measure,
    "community": community.measure,
}

#: Takes minutes: run where it is named only.
LONG = ("admission-growth-full", "discovery-footprints", "discovery-rows")


def main() -> int:
    """Run the benchmarks asked for; the exit code is 1 where one failed, or with --strict a goal is not met."""
    parser = argparse.ArgumentParser(prog="make bench", description="Run the benchmarks, or those named.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--strict", action="store_true", help="fail where a goal is not met")
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="run nothing; put the table of the last figures into docs/benchmarks.md",
    )
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    if asked.markdown:
        rows.write_page(rows.kept())
        return 0
    signal.signal(signal.SIGTERM, _end)
    return _run(asked.names or [name for name in BENCHMARKS if name not in LONG], strict=asked.strict)


def _run(names: list[str], *, strict: bool) -> int:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        print(f"Other work keeps this machine busy (load {load:.1f} on {cores} cores): the figures will be off.")
    measured: list[Row] = []
    failed: list[str] = []
    for name in names:
        print(f"== {name}", flush=True)
        started = time.monotonic()
        try:
            measured += BENCHMARKS[name]()
        except Exception:
            traceback.print_exc()
            failed.append(name)
        print(f"   {time.monotonic() - started:.0f} s", flush=True)
    if measured:
        rows.keep(measured, list(BENCHMARKS))
        print(f"\n{rows.table(measured)}\n\nKept in {rows.KEPT.relative_to(rows.ROOT)}.")
    missed = [row for row in measured if row.met is False]
    for row in missed:
        print(f"Not met: {row.name} has a ratio of {row.ratio:.3f}; the goal is {row.goal}.")
    for name in failed:
        print(f"Failed: {name}, for the reason above.")
    return int(bool(failed) or (strict and bool(missed)))


def _end(_number: int, _frame: FrameType | None) -> None:
    # As an exception, so that every server that was started is ended on the way out.
    raise SystemExit("Stopped.")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped.")
