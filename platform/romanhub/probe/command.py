"""What `romanhub probe` does: finds the platform, runs one visit, and shows the report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx

from romanhub.local.environments import SetupError
from romanhub.local.settings import Settings
from romanhub.probe.report import Report, Step
from romanhub.probe.robot import Robot
from romanhub.probe.visit import Visit


def run(
    url: str | None,
    token: str | None,
    options: dict[str, str],
    *,
    metrics: Path | None,
    push: str | None = None,
    as_json: bool,
) -> bool:
    """Run one visit and show its report; returns whether it passed.

    Raises
    ------
    SetupError
        Where it is not said what to probe, or the metrics cannot be written.
    """
    if (url is None) != (token is None):
        raise SetupError("Give both --url and --token, or neither for the platform on this machine.")
    if url is None or token is None:
        try:
            settings = Settings.load()
        except FileNotFoundError:
            raise SetupError("The platform has never been started here: romanhub up") from None
        url, token = settings.url, settings.secrets.probe
    report = asyncio.run(_visit(url, token, options, _say if not as_json else _be_silent))
    if metrics is not None:
        _write(metrics, report.metrics())
    if push is not None:
        push_metrics(push, report.metrics())
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        total = sum(step.seconds for step in report.steps)
        click.echo(f"\n{'Passed' if report.passed else 'FAILED'} after {total:.0f} s: {url}")
    return report.passed


async def _visit(url: str, token: str, options: dict[str, str], tell: Callable[[Step], None]) -> Report:
    async with Robot(url, token) as robot:
        return await Visit(robot, options, tell=tell, now=lambda: datetime.now(UTC)).run()


def push_metrics(gateway: str, metrics: str) -> None:
    """Send a report's metrics to a Pushgateway, in place of those of the report before."""
    try:
        httpx.put(
            f"{gateway.rstrip('/')}/metrics/job/romanhub_probe", content=metrics, timeout=10
        ).raise_for_status()
    except httpx.HTTPError as error:
        raise SetupError(f"{gateway} did not take the metrics: {error}.") from None


def _say(step: Step) -> None:
    mark = "✓" if step.failure is None else "✗"
    click.echo(f"  {mark} {step.title:<60} {step.seconds:7.1f} s")
    if step.failure is not None:
        click.echo(f"    {step.failure}")


def _be_silent(_step: Step) -> None:
    """Say nothing while it runs."""


def _write(path: Path, text: str) -> None:
    """Put the text there as a whole: a collector never reads half of it."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        raise SetupError(f"The metrics cannot be written to {path}: {error.strerror}.") from None
