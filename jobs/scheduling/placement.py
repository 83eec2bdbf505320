"""The placement of jobs: a worker may run a job if it has as many GPUs as the job asks for.

If no worker has a GPU, as on a laptop, jobs run on CPUs, however many GPUs they ask for. If some
workers have GPUs, jobs wait for those workers, and workers without a GPU run no jobs.
"""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from jobs.database.tables.jobs import jobs
from jobs.database.tables.workers import workers
from jobs.scheduling.workers import is_healthy, lives


def any_gpu() -> ColumnElement[bool]:
    return exists().where(lives(), workers.c.num_gpus > 0)


def fits(gpus: int) -> ColumnElement[bool]:
    """Return the SQL condition that a worker with `gpus` GPUs may run a job."""
    return jobs.c.gpus <= gpus if gpus else ~any_gpu()


def fits_some_worker() -> ColumnElement[bool]:
    """Return the SQL condition that some worker may run a job.

    If no worker has a GPU, it is true, because a worker with CPUs only may still come.
    """
    big_enough = exists().where(lives(), workers.c.num_gpus >= jobs.c.gpus)
    return or_(~any_gpu(), big_enough.correlate(jobs))


def is_left_to_others(worker: str, gpus: int) -> ColumnElement[bool]:
    """Return the SQL condition that this worker leaves a job to another worker.

    The job just failed on this worker, and another healthy worker has enough GPUs for it.
    """
    big_enough = workers.c.num_gpus >= (jobs.c.gpus if gpus else 0)
    another = exists().where(is_healthy(), workers.c.name != worker, big_enough)
    return and_(jobs.c.failed_on.is_not_distinct_from(worker), another.correlate(jobs))


def unschedulable_reasons(connection: Connection, wanted: Mapping[str, int]) -> dict[str, str]:
    """Return why queued jobs cannot run on any worker, by job id.

    `wanted` maps the ids of the jobs to their numbers of GPUs.
    """
    if not wanted:
        return {}
    query = select(
        func.max(workers.c.num_gpus),
        func.max(workers.c.num_gpus).filter(workers.c.problem.is_(None)),
    )
    largest, healthy = connection.execute(query.where(lives())).one()
    reasons = ((job_id, _reason(gpus, largest, healthy)) for job_id, gpus in wanted.items())
    return {job_id: reason for job_id, reason in reasons if reason is not None}


def _reason(gpus: int, largest: int | None, healthy: int | None) -> str | None:
    """Return why no worker can run a job with `gpus` GPUs, or None if one can.

    `largest` and `healthy` are the most GPUs of any worker and of any healthy worker, or None if
    there is no such worker.
    """
    if largest is None:
        return None
    if 0 < largest < gpus:
        return f"no worker has {gpus} GPUs; the largest has {largest}"
    if healthy is None or (largest and healthy < gpus):
        return "no worker that fits is healthy; `relora workers` says what is wrong"
    return None
