"""What a probe found: for a person, for a script, and as metrics for Prometheus."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

#: The metrics' help texts, by name.
_HELP = {
    "romanhub_probe_success": "1 where every step of the last probe did what it should, else 0.",
    "romanhub_probe_step_success": "1 where the step of the last probe did what it should, else 0.",
    "romanhub_probe_step_seconds": "How long the step of the last probe took, in seconds.",
    "romanhub_probe_last_run_timestamp_seconds": "When the last probe began, in seconds since 1970.",
}


class Step(BaseModel):
    """One step of a probe."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="What was done, as a metric's label.")
    title: str = Field(description="What was done, for a person.")
    seconds: float = Field(ge=0, description="How long it took, in seconds.")
    failure: str | None = Field(default=None, description="What went wrong, in a sentence, if anything did.")


class Report(BaseModel):
    """One probe from its begin to its end."""

    model_config = ConfigDict(frozen=True)

    began: AwareDatetime = Field(description="When the probe began.")
    url: str = Field(description="The platform that was probed.")
    steps: list[Step] = Field(description="What was done, in order; after a failure, only the clearing up.")

    @property
    def passed(self) -> bool:
        """Whether every step did what it should."""
        return all(step.failure is None for step in self.steps)

    def metrics(self) -> str:
        """The report in Prometheus's text format, for a textfile collector."""
        by_step = [(f'{{step="{step.name}"}}', step) for step in self.steps]
        samples = {
            "romanhub_probe_success": [("", str(int(self.passed)))],
            "romanhub_probe_step_success": [(label, str(int(step.failure is None))) for label, step in by_step],
            "romanhub_probe_step_seconds": [(label, f"{step.seconds:.3f}") for label, step in by_step],
            "romanhub_probe_last_run_timestamp_seconds": [("", f"{self.began.timestamp():.0f}")],
        }
        lines = []
        for name, values in samples.items():
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge"]
            lines += [f"{name}{label} {value}" for label, value in values]
        return "\n".join(lines) + "\n"
