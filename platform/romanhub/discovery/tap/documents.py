"""UWS's documents about jobs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from vo_models.uws.models import (
    ErrorSummary,
    Jobs,
    JobSummary,
    MultiValuedParameter,
    Parameter,
    Parameters,
    ResultReference,
    Results,
    ShortJobDescription,
)
from vo_models.uws.types import ErrorType, ExecutionPhase, UWSVersion

from romanhub.discovery.jobs import Job


class TapParameters(Parameters):
    """The parameters of a job of TAP."""

    request: Parameter | None = Parameter(id="REQUEST")
    lang: Parameter | None = Parameter(id="LANG")
    query: Parameter | None = Parameter(id="QUERY")
    maxrec: Parameter | None = Parameter(id="MAXREC")
    responseformat: Parameter | None = Parameter(id="RESPONSEFORMAT")
    upload: MultiValuedParameter | None = None


def utc(moment: datetime | None) -> str | None:
    """Return a moment as UWS writes it."""
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _owner(job: Job) -> str:
    return job.owner.partition(":")[2]


def job_document(job: Job, url: str) -> bytes:
    """Return a job as a document; `url` is the job's own address."""
    said: dict[str, Any] = {
        "job_id": job.id,
        "owner_id": _owner(job),
        "phase": ExecutionPhase(job.phase),
        "creation_time": utc(job.created),
        "start_time": utc(job.started),
        "end_time": utc(job.ended),
        "execution_duration": job.seconds,
        "destruction": utc(job.destruction),
        "parameters": parameters(job),
        "results": results(job, url),
        "version": UWSVersion.V1_1,
    }
    if job.run_id is not None:
        said["run_id"] = job.run_id
    if job.error is not None:
        said["error_summary"] = ErrorSummary(message=job.error, type=ErrorType.FATAL, has_detail=True)
    return _xml(JobSummary[TapParameters](**said))


def parameters(job: Job) -> TapParameters:
    """Return a job's parameters."""
    found: dict[str, Any] = {}
    for name, value in job.params:
        key = "responseformat" if name in ("FORMAT", "RESPONSEFORMAT") else name.lower()
        if key not in TapParameters.model_fields:
            continue
        said = Parameter(id=key, value=value)
        found[key] = [*found.get(key, []), said] if key == "upload" else said
    return TapParameters(**found)


def results(job: Job, url: str) -> Results:
    """Return the references to a job's results."""
    if job.phase != "COMPLETED":
        return Results(results=[])
    one = ResultReference(id="result", href=f"{url}/results/result", mime_type=job.media_type)
    return Results(results=[one])


def parameters_document(job: Job) -> bytes:
    """Return a job's parameters as a document."""
    return _xml(parameters(job))


def results_document(job: Job, url: str) -> bytes:
    """Return a job's results as a document."""
    return _xml(results(job, url))


def list_document(jobs: Iterable[Job], url: str) -> bytes:
    """Return somebody's jobs as a document; `url` is the address of the list."""
    return _xml(
        Jobs(
            jobref=[
                ShortJobDescription(
                    job_id=job.id,
                    phase=ExecutionPhase(job.phase),
                    run_id=job.run_id,
                    owner_id=_owner(job),
                    creation_time=utc(job.created),  # type: ignore[arg-type]
                    href=f"{url}/{job.id}",
                )
                for job in jobs
            ]
        )
    )


def _xml(model: Any) -> bytes:
    # What is set and is nothing is said to be nothing: a job has a start and an end even before it has begun.
    found: str | bytes = model.to_xml(exclude_unset=True)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + (found.encode() if isinstance(found, str) else found)
