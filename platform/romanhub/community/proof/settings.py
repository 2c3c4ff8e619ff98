"""How often what is shared is run, how much at once, and for how long."""

from __future__ import annotations

from datetime import timedelta

from hubquota.services.settingsfile import load_settings
from pydantic import BaseModel, ConfigDict, Field

#: After so many days without a run that passed, an entry counts as stale, unless the settings say otherwise.
STALE_DAYS = 21


class RunSettings(BaseModel):
    """What the runner of notebooks is told by a file; without one, what stands here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_days: float = Field(
        default=7, gt=0, le=365, description="How often the newest version of each public entry is run, in days."
    )
    stale_days: float = Field(
        default=STALE_DAYS,
        gt=0,
        le=3650,
        description="After how long without a run that passed it counts as stale.",
    )
    at_once: int = Field(default=2, ge=1, le=100, description="How many shared notebooks run at the same time.")
    own_at_once: int = Field(
        default=10, ge=1, le=1000, description="How many of people's own notebooks run at the same time."
    )
    own_queued: int = Field(
        default=20, ge=1, le=1000, description="How many of their own notebooks one person may have in the queue."
    )
    seconds: int = Field(
        default=1800, ge=1, le=86_400, description="How long the cells of a shared notebook may take, in seconds."
    )
    own_seconds: int = Field(
        default=43_200,
        ge=1,
        le=604_800,
        description="The same for one's own; the tier's longest session holds too.",
    )
    output_bytes: int = Field(
        default=20_000_000, ge=1000, le=1_000_000_000, description="How much all cells may write, in bytes."
    )
    start_seconds: int = Field(
        default=600, ge=10, le=3600, description="How long a server may take to start, and to stop, in seconds."
    )
    survey_seconds: float = Field(
        default=60, gt=0, le=86_400, description="How often to look what is due and what is stale, in seconds."
    )
    tries: int = Field(
        default=5, ge=1, le=10, description="How often a run is begun whose server does not come up."
    )
    retry_minutes: float = Field(
        default=60, gt=0, le=10_080, description="How long to wait after a run that says nothing of the notebook."
    )
    images: tuple[str, ...] = Field(
        default=(), description="The images besides everybody's that an entry may name, as the spawner calls them."
    )
    tier: str = Field(default="robot", min_length=1, description="The tier of the robot's account.")
    size: str | None = Field(
        default=None, description="The robot's size of server; its tier's default without it."
    )

    @property
    def period(self) -> timedelta:
        """How often each entry is run."""
        return timedelta(days=self.every_days)

    @property
    def stale_after(self) -> timedelta:
        """How long a run that passed proves something."""
        return timedelta(days=self.stale_days)


def load_run_settings(file: str | None) -> RunSettings:
    """Return what a file says; without one, what holds then.

    Raises
    ------
    SettingsFileError
        It cannot be read, or has mistakes: the message says on which line.
    """
    return load_settings(file, RunSettings) if file else RunSettings()
