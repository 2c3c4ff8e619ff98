"""What the purge's own settings file says: when its steps are taken, how much at once, and of what."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hubquota.models.fields import Count, Name, Positive, Strict, Text


class Limits(Strict):
    """How much may be purged at once. It guards against a mistake that would empty the platform."""

    accounts: Positive = Field(default=50, description="At most so many accounts.")
    percent: Annotated[int, Field(ge=1, le=100, strict=True)] = Field(
        default=5, description="At most so many of a hundred accounts; one at least."
    )

    def allowed(self, accounts: int) -> int:
        """Return how many of so many accounts may be purged at once."""
        return max(1, min(self.accounts, accounts * self.percent // 100))


class Schedule(Strict):
    """When the purge runs by itself."""

    daily_at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = Field(
        description="The time of day, in UTC, such as 03:30; write it in quotes."
    )
    plans: Literal["none", "reviewed", "unreviewed"] = Field(
        default="reviewed",
        description="Whether it makes plans, too. 'reviewed': one, which waits until an administrator approves "
        "it. 'unreviewed': one that is approved at once where the limits allow it. 'none': only what an "
        "administrator has planned and approved is carried out.",
    )


class PurgeSettings(Strict):
    """The whole settings file of the purge."""

    notice_days: tuple[Positive, ...] = Field(
        default=(30, 14, 3, 1),
        description="The owner is told so many days before something is taken away. The largest comes first.",
    )
    quarantine_days: Count = Field(
        default=14, description="What is taken away is kept whole for so many days before it is deleted."
    )
    restore_days: Count = Field(
        default=90, description="What was deleted can be restored from the archive for so many days."
    )
    plan_days: Positive = Field(default=7, description="A plan that nobody approved is stale after so many days.")
    limits: Limits = Field(default_factory=Limits, description="How much may be purged at once.")
    schedule: Schedule | None = Field(
        default=None,
        description="When the watch carries out what is due; without it, nothing happens by itself.",
    )
    archive: Text = Field(description="The folder for archives; nobody but the purge may read or write it.")
    compress: bool = Field(
        default=True,
        strict=True,
        description="Whether archives are compressed by gzip. Images and tables often are already.",
    )
    adapters: dict[Name, dict[str, Any]] = Field(
        min_length=1,
        description="What is purged, by a name of your choice, in the order in which it is taken. `type` is an "
        "adapter's entry point, such as home-folder, or module:attribute; the other keys are its own.",
    )

    @model_validator(mode="after")
    def _types_are_named(self) -> Self:
        for name, options in self.adapters.items():
            if not isinstance(options.get("type"), str):
                raise ValueError(f"adapters.{name} needs a type, such as home-folder or module:attribute")
        return self
