"""What the search service needs to know, read from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from romanhub.portal.settings import HubSettings, SettingsError


class QuerySettings(BaseModel):
    """What queries may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: str = Field(
        default="2GB", pattern=r"^\d+(MB|GB)$", description="The memory of all queries that run at once."
    )
    threads: int = Field(default=2, ge=1, le=256, description="The database's threads.")
    at_once: int = Field(default=4, ge=1, le=64, description="How many queries run at once; others wait.")
    waiting: int = Field(default=64, ge=1, le=10_000, description="How many may wait; more are sent away for now.")
    sync_seconds: float = Field(
        default=60, gt=0, le=3600, description="How long a query may take whose sender waits for it, in seconds."
    )
    async_seconds: int = Field(
        default=600, gt=0, le=86_400, description="How long a job may take at most, in seconds."
    )
    default_rows: int = Field(
        default=20_000, ge=1, description="How many rows an answer has at most where its sender does not say."
    )
    most_rows: int = Field(default=1_000_000, ge=1, description="How many rows an answer has at most.")
    upload_bytes: int = Field(
        default=32_000_000,
        ge=1,
        description="How large a request may be, with the tables that come along, in bytes.",
    )
    upload_rows: int = Field(default=100_000, ge=1, description="How many rows a table that comes along may have.")
    jobs_each: int = Field(default=20, ge=1, description="How many jobs one person may keep.")
    running_each: int = Field(default=2, ge=1, description="How many queries and jobs of one person run at once.")
    job_days: int = Field(default=7, ge=1, le=365, description="For how long jobs and their results are kept.")


class DiscoverySettings(BaseModel):
    """Everything that one process of the search service is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hub: HubSettings
    url: str = Field(
        pattern=r"^https?://.+/$", description="The service's address as people reach it, with a slash."
    )
    datasets_file: str = Field(min_length=1, description="The file of data sets.")
    folder: Path = Field(description="The folder of the index, as `romanhub archive index` writes it.")
    jobs_folder: Path = Field(description="The folder of jobs and their results.")
    anonymous: bool = Field(
        default=False, description="Whether public data sets can be searched without signing in."
    )
    queries: QuerySettings = QuerySettings()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> DiscoverySettings:
        """Settings from `environ`; raises SettingsError naming every variable that is missing or wrong.

        A variable that is set to the empty string counts as not set.
        """
        values: dict[str, Any] = {
            "hub": {"service_name": "archive", "prefix": "/services/archive/", "client_id": "service-archive"},
            "queries": {},
        }
        for (*place, last), variable in _PLACES.items():
            if environ.get(variable):
                within = values
                for key in place:
                    within = within[key]
                within[last] = environ[variable]
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


#: Which environment variable fills which field.
_PLACES: dict[tuple[str, ...], str] = {
    ("hub", "api_token"): "JUPYTERHUB_API_TOKEN",
    ("hub", "api_url"): "JUPYTERHUB_API_URL",
    ("hub", "base_url"): "JUPYTERHUB_BASE_URL",
    ("hub", "service_name"): "JUPYTERHUB_SERVICE_NAME",
    ("hub", "prefix"): "JUPYTERHUB_SERVICE_PREFIX",
    ("url",): "ROMANHUB_SEARCH_URL",
    ("datasets_file",): "ROMANHUB_DATASETS",
    ("folder",): "ROMANHUB_SEARCH_FOLDER",
    ("jobs_folder",): "ROMANHUB_SEARCH_JOBS",
    ("anonymous",): "ROMANHUB_SEARCH_ANONYMOUS",
    ("queries", "memory"): "ROMANHUB_SEARCH_MEMORY",
    ("queries", "threads"): "ROMANHUB_SEARCH_THREADS",
    ("queries", "at_once"): "ROMANHUB_SEARCH_AT_ONCE",
    ("queries", "waiting"): "ROMANHUB_SEARCH_WAITING",
    ("queries", "sync_seconds"): "ROMANHUB_SEARCH_SYNC_SECONDS",
    ("queries", "async_seconds"): "ROMANHUB_SEARCH_ASYNC_SECONDS",
    ("queries", "default_rows"): "ROMANHUB_SEARCH_DEFAULT_ROWS",
    ("queries", "most_rows"): "ROMANHUB_SEARCH_MOST_ROWS",
    ("queries", "upload_bytes"): "ROMANHUB_SEARCH_UPLOAD_BYTES",
    ("queries", "upload_rows"): "ROMANHUB_SEARCH_UPLOAD_ROWS",
    ("queries", "jobs_each"): "ROMANHUB_SEARCH_JOBS_EACH",
    ("queries", "running_each"): "ROMANHUB_SEARCH_RUNNING_EACH",
    ("queries", "job_days"): "ROMANHUB_SEARCH_JOB_DAYS",
}


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        place = tuple(str(part) for part in problem["loc"])
        said = "is not set" if problem["type"] == "missing" else problem["msg"]
        lines.append(f"{_PLACES.get(place, '.'.join(place))}: {said}")
    return "The search service cannot start with this environment:\n  " + "\n  ".join(lines)
