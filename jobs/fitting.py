"""Which worker may run which job: it has as many GPUs as the job asks for.

Where no worker has a GPU, as on a laptop, jobs run on CPUs, whatever they ask for. Where some
have, jobs wait for them, and workers without a GPU train nothing.
"""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select

from jobs.tables import jobs
from jobs.workers import lives, workers


def any_gpu() -> ColumnElement[bool]:
    return exists().where(lives(), workers.c.num_gpus > 0)


def fits(gpus: int) -> ColumnElement[bool]:
    """Whether a worker with so many GPUs may run a job, of the statement around it."""
    return jobs.c.gpus <= gpus if gpus else ~any_gpu()


def fits_some_worker() -> ColumnElement[bool]:
    """Whether it may run on a worker that there is, or on one of CPUs that may come."""
    big_enough = exists().where(lives(), workers.c.num_gpus >= jobs.c.gpus)
    return or_(~any_gpu(), big_enough.correlate(jobs))


def obstacles(connection: Connection, wanted: Mapping[str, int]) -> dict[str, str]:
    """Why queued jobs cannot run on any worker, by id; `wanted` are their GPUs."""
    if not wanted:
        return {}
    largest = connection.scalar(select(func.max(workers.c.num_gpus)).where(lives())) or 0
    return {
        job_id: f"no worker has {gpus} GPUs; the largest has {largest}"
        for job_id, gpus in wanted.items()
        if 0 < largest < gpus
    }
