"""Conversion between rows of the database and the models of the API."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from jobs.database.tables.jobs import jobs
from jobs.schemas.events import AnyJobEvent, job_event_adapter
from jobs.schemas.job import Artifact, Job, JobSpec, JobState, Progress, UnreadableSpec
from jobs.schemas.status import FINAL, JobError, JobStatus

# The fields of `Progress` that have their own columns.
_IN_COLUMNS = {
    "status",
    "queue_position",
    "unschedulable_reason",
    "attempt",
    "worker",
    "version",
    "updated_at",
}
PROGRESS_COLUMNS = (
    jobs.c.id,
    jobs.c.project,
    jobs.c.priority,
    jobs.c.gpus,
    jobs.c.gpu_class,
    jobs.c.status,
    jobs.c.attempt,
    jobs.c.worker,
    jobs.c.last_event,
    jobs.c.updated_at,
    jobs.c.progress,
)


def job_from(row: Row[*tuple[Any, ...]], queue_position: int | None = None) -> Job:
    spec = spec_from(row.spec)
    return Job(
        **_state(row, queue_position),
        name=spec.name,
        labels=spec.labels,
        spec=spec,
        spec_problem=spec.problem if isinstance(spec, UnreadableSpec) else None,
    )


def state_from(row: Row[*tuple[Any, ...]], queue_position: int | None = None) -> JobState:
    """Return the job in a row without its spec, which is not validated."""
    document = _document(row.spec)
    written = document if isinstance(document, dict) else {}
    return JobState(
        **_state(row, queue_position),
        name=str(written.get("name", "")),
        labels=written.get("labels", {}),
    )


def _state(row: Row[*tuple[Any, ...]], queue_position: int | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "priority": row.priority,
        "status": row.status,
        "requested_action": row.requested_action,
        "attempt": row.attempt,
        "failed_attempts": row.failed_attempts,
        "worker": row.worker,
        "gpu_hours": row.gpu_seconds / 3600,
        "forked_from": row.forked_from,
        "progress": progress_from(row, queue_position),
        "error": JobError.model_validate_json(row.error) if row.error else None,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def spec_from(stored: str) -> JobSpec:
    return JobSpec.accepted(_document(stored))


def name_from(stored: str) -> str:
    """Return the name in a stored spec, without validating the spec."""
    document = _document(stored)
    return str(document.get("name", "")) if isinstance(document, dict) else ""


def changed(stored: str, changes: Mapping[str, Any]) -> str:
    """Return a stored spec with changed fields; a spec that is no JSON object stays as it is."""
    document = _document(stored)
    if not isinstance(document, dict):
        return stored
    return json.dumps({**document, **changes}, separators=(",", ":"))


def _document(stored: str) -> Any:
    try:
        return json.loads(stored)
    except ValueError:
        return stored


def progress_document(progress: Progress) -> str:
    return progress.model_dump_json(exclude=_IN_COLUMNS)


def progress_from(
    row: Row[*tuple[Any, ...]],
    queue_position: int | None = None,
    unschedulable_reason: str | None = None,
) -> Progress:
    """Return the progress in a row.

    The preparation and the time left are null while no trainer runs. So is the throughput, but a
    job that is over keeps its last value for comparison.
    """
    told = json.loads(row.progress)
    if row.status is not JobStatus.RUNNING:
        told |= {"preparing": None, "eta_seconds": None}
    if row.status not in {JobStatus.RUNNING, *FINAL}:
        told["tokens_per_second"] = None
    return Progress(
        **told,
        status=row.status,
        queue_position=queue_position,
        unschedulable_reason=unschedulable_reason,
        attempt=row.attempt,
        worker=row.worker,
        version=row.last_event,
        updated_at=row.updated_at,
    )


def event_from(row: Row[*tuple[Any, ...]]) -> AnyJobEvent:
    event = job_event_adapter.validate_json(row.body)
    return event.model_copy(update={"id": row.id, "attempt": row.attempt})


def artifact_from(row: Row[*tuple[Any, ...]]) -> Artifact:
    return Artifact(
        path=row.path,
        kind=row.kind,
        step=row.step,
        size=row.size,
        sha256=row.sha256,
        key=row.key,
        created_at=row.created_at,
    )
