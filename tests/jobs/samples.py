"""Sample values that the tests of the stores write and read."""

from collections.abc import Callable
from datetime import UTC, datetime

from jobs.schemas.job import Artifact
from jobs.schemas.status import JobError
from jobs.store.jobs import JobStore
from relora_core.events import StepFinished

StepMaker = Callable[[int], StepFinished]
CRASH = JobError(code="crashed", message="The trainer ended with signal 9.")


def types(store: JobStore, job_id: str) -> list[str]:
    return [event.type for event in store.events(job_id)]


def artifact(path: str, size: int = 1) -> Artifact:
    return Artifact(
        path=path,
        kind="checkpoint",
        step=100,
        size=size,
        sha256="0" * 64,
        created_at=datetime.now(UTC),
    )
