"""The placement of jobs: a worker may run a job if it has as many GPUs as the job asks for.

A job that asks for a class of GPU runs only on workers of that class.

If no worker has a GPU, as on a laptop, jobs run on CPUs, however many GPUs they ask for. If some
workers have GPUs, jobs wait for those workers, and workers without a GPU run no jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from jobs.database.tables.jobs import jobs
from jobs.database.tables.workers import workers
from jobs.scheduling.workers import is_healthy, lives


def any_gpu() -> ColumnElement[bool]:
    return exists().where(lives(), workers.c.num_gpus > 0)


def fits(gpus: int, gpu_class: str | None = None) -> ColumnElement[bool]:
    """Return the SQL condition that a worker with `gpus` GPUs of a class may run a job."""
    of_class = or_(jobs.c.gpu_class.is_(None), jobs.c.gpu_class == gpu_class)
    return and_(jobs.c.gpus <= gpus if gpus else ~any_gpu(), of_class)


def fits_some_worker() -> ColumnElement[bool]:
    """Return the SQL condition that some worker may run a job.

    If no worker has a GPU, it is true, because a worker with CPUs only may still come.
    """
    big_enough = exists().where(lives(), _is_of_class(), workers.c.num_gpus >= jobs.c.gpus)
    return or_(~any_gpu(), big_enough.correlate(jobs))


def is_left_to_others(worker: str, gpus: int) -> ColumnElement[bool]:
    """Return the SQL condition that this worker leaves a job to another worker.

    The job just failed on this worker, and another healthy worker has enough GPUs for it.
    """
    big_enough = workers.c.num_gpus >= (jobs.c.gpus if gpus else 0)
    another = exists().where(is_healthy(), workers.c.name != worker, big_enough, _is_of_class())
    return and_(jobs.c.failed_on.is_not_distinct_from(worker), another.correlate(jobs))


def _is_of_class() -> ColumnElement[bool]:
    return or_(jobs.c.gpu_class.is_(None), workers.c.gpu_class == jobs.c.gpu_class)


@dataclass(frozen=True)
class Asked:
    """The GPUs that a queued job asks for."""

    gpus: int
    gpu_class: str | None


@dataclass(frozen=True)
class _Live:
    """A live worker."""

    num_gpus: int
    gpu_class: str | None
    problem: str | None


def unschedulable_reasons(connection: Connection, wanted: Mapping[str, Asked]) -> dict[str, str]:
    """Return why queued jobs cannot run on any worker, by job id."""
    if not wanted:
        return {}
    query = select(workers.c.num_gpus, workers.c.gpu_class, workers.c.problem).where(lives())
    live = [_Live(*row) for row in connection.execute(query)]
    reasons = ((job_id, _reason(asked, live)) for job_id, asked in wanted.items())
    return {job_id: reason for job_id, reason in reasons if reason is not None}


def _reason(asked: Asked, live: Sequence[_Live]) -> str | None:
    """Return why none of the live workers can run a job, or None if one can or there is none."""
    if not live:
        return None
    of_class = [worker for worker in live if asked.gpu_class in {None, worker.gpu_class}]
    if not of_class:
        return f"no worker has GPUs of the class {asked.gpu_class}"
    kind = "GPUs" if asked.gpu_class is None else f"GPUs of the class {asked.gpu_class}"
    largest = max(worker.num_gpus for worker in of_class)
    if 0 < largest < asked.gpus:
        return f"no worker has {asked.gpus} {kind}; the largest has {largest}"
    healthy = [worker.num_gpus for worker in of_class if worker.problem is None]
    if not healthy or (largest and max(healthy) < asked.gpus):
        return "no worker that fits is healthy; `relora workers` says what is wrong"
    return None
