"""The quotas of projects, and the checks that enforce them.

A transaction that queues or claims a job locks the row of its project first. So if two
transactions want the last free place, the second waits, and then finds it taken. Transactions of
different projects do not wait for each other.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    Select,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
)

from jobs.database.tables.datasets import datasets
from jobs.database.tables.jobs import artifacts, jobs, projects
from jobs.errors import ProjectNotFound, QuotaExceeded
from jobs.scheduling.placement import fits_some_worker
from jobs.scheduling.queue_order import IN_ORDER
from jobs.schemas.projects import DEFAULT_QUEUED_JOBS, Quotas, Usage
from jobs.schemas.status import LEASED, JobStatus

ProjectRow = Row[*tuple[Any, ...]]


def quotas_from(row: ProjectRow) -> Quotas:
    return Quotas(**{name: getattr(row, f"max_{name}") for name in Quotas.model_fields})


def usage(connection: Connection, project: str) -> Usage:
    used = [of(literal(project)).label(name) for name, of in _USED.items()]
    return Usage(**connection.execute(select(*used)).one()._mapping)


def check_submit(connection: Connection, project: str, *, gpus: int) -> None:
    """Raise `QuotaExceeded` unless the project may queue one more job with `gpus` GPUs."""
    locked = lock_project(connection, project)
    _check_queue(connection, locked)
    _check_free(connection, project, "storage_bytes", limit=locked.max_storage_bytes, asked=1)
    if locked.max_gpus is not None and gpus > locked.max_gpus:  # the job would wait forever
        raise QuotaExceeded(project, "gpus", used=0, asked=gpus, limit=locked.max_gpus)


def check_requeue(connection: Connection, job_id: str) -> None:
    """Raise `QuotaExceeded` unless a person may put this job back into the queue."""
    if locked := lock_project_of(connection, job_id):
        _check_queue(connection, locked)


def check_storage(connection: Connection, project: str, *, asked: int) -> None:
    """Raise `QuotaExceeded` unless the project may store `asked` more bytes."""
    limit = lock_project(connection, project).max_storage_bytes
    _check_free(connection, project, "storage_bytes", limit=limit, asked=asked)


def _check_queue(connection: Connection, locked: ProjectRow) -> None:
    limit = DEFAULT_QUEUED_JOBS if locked.max_queued_jobs is None else locked.max_queued_jobs
    _check_free(connection, locked.name, "queued_jobs", limit=limit, asked=1)


def _check_free(
    connection: Connection, project: str, quota: str, *, limit: int | None, asked: int
) -> None:
    if limit is None:
        return
    used = int(connection.scalar(select(_USED[quota](literal(project)))) or 0)
    if used + asked > limit:
        raise QuotaExceeded(project, quota, used=used, asked=asked, limit=limit)


def lock_project_of(connection: Connection, job_id: str) -> ProjectRow | None:
    """Lock the project of a job before a claim that `has_room` guards.

    Return its row, or None if there is no such job.
    """
    project = select(jobs.c.project).where(jobs.c.id == job_id).scalar_subquery()
    return _lock(connection, projects.c.name == project)


def lock_project(connection: Connection, project: str) -> ProjectRow:
    """Lock a project before something is queued in it, and return its row.

    Raise `ProjectNotFound` if there is no such project.
    """
    locked = _lock(connection, projects.c.name == project)
    if locked is None:
        raise ProjectNotFound(project)
    return locked


def _lock(connection: Connection, which: ColumnElement[bool]) -> ProjectRow | None:
    """Lock the row of a project (`FOR NO KEY UPDATE`) and return it.

    A plain `FOR UPDATE` would also block inserts of rows that refer to the project. SQLite has no
    such lock and needs none, because only one transaction at a time writes.
    """
    query = select(projects).where(which).with_for_update(key_share=True)
    return connection.execute(query).one_or_none()


def has_room() -> ColumnElement[bool]:
    """Return the SQL condition that the quotas have room for a queued job now."""
    project = projects.c.name
    full = or_(
        projects.c.max_running_jobs <= _running(project),
        projects.c.max_gpus < _gpus(project) + jobs.c.gpus,
    )
    return ~exists().where(project == jobs.c.project, full)


def waiting_with_room(limit: int = 1000) -> Select[tuple[str]]:
    """Return the query for the jobs that wait for a quota and may run now.

    Within each project they are the first in the order of the queue. A queued job whose message
    was sent counts as running, so that no more messages are sent than jobs can be claimed. A job
    that needs more GPUs than any worker has does not block other jobs.
    """
    under_way = and_(
        jobs.c.status == JobStatus.QUEUED, ~jobs.c.waiting_for_quota, fits_some_worker()
    )
    taken = (
        select(jobs.c.project, func.count().label("jobs"), func.sum(jobs.c.gpus).label("gpus"))
        .where(or_(jobs.c.status.in_(LEASED), under_way))
        .group_by(jobs.c.project)
        .subquery()
    )
    place = func.row_number().over(partition_by=jobs.c.project, order_by=IN_ORDER)
    gpus = func.sum(jobs.c.gpus).over(partition_by=jobs.c.project, order_by=IN_ORDER)
    fits_alone = or_(projects.c.max_gpus.is_(None), jobs.c.gpus <= projects.c.max_gpus)
    waiting = (
        select(
            jobs.c.id,
            projects.c.max_running_jobs,
            projects.c.max_gpus,
            (place + func.coalesce(taken.c.jobs, 0)).label("jobs"),
            (gpus + func.coalesce(taken.c.gpus, 0)).label("gpus"),
        )
        .join(projects, projects.c.name == jobs.c.project)
        .outerjoin(taken, taken.c.project == jobs.c.project)
        .where(
            jobs.c.status == JobStatus.QUEUED,
            jobs.c.waiting_for_quota,
            fits_alone,
            fits_some_worker(),
        )
        .subquery()
    )
    free = and_(
        or_(waiting.c.max_running_jobs.is_(None), waiting.c.jobs <= waiting.c.max_running_jobs),
        or_(waiting.c.max_gpus.is_(None), waiting.c.gpus <= waiting.c.max_gpus),
    )
    return select(waiting.c.id).where(free).order_by(waiting.c.id).limit(limit)


_others = jobs.alias("others")


def _count(
    project: ColumnElement[str], what: ColumnElement[int], *where: ColumnElement[bool]
) -> ScalarSelect[int]:
    query = select(what).where(_others.c.project == project, *where)
    return query.correlate(projects).scalar_subquery()


def _queued(project: ColumnElement[str]) -> ScalarSelect[int]:
    return _count(project, func.count(), _others.c.status == JobStatus.QUEUED)


def _running(project: ColumnElement[str]) -> ScalarSelect[int]:
    return _count(project, func.count(), _others.c.status.in_(LEASED))


def _gpus(project: ColumnElement[str]) -> ScalarSelect[int]:
    total = func.coalesce(func.sum(_others.c.gpus), 0)
    return _count(project, total, _others.c.status.in_(LEASED))


def _stored(project: ColumnElement[str]) -> ColumnElement[int]:
    """Return the bytes of the project's artifacts and datasets.

    A dataset counts with its full announced size, even before it is uploaded.
    """
    made = func.coalesce(func.sum(artifacts.c.size), 0)
    of_jobs = _count(project, made, artifacts.c.job_id == _others.c.id)
    uploaded = select(func.coalesce(func.sum(datasets.c.size), 0))
    of_datasets = uploaded.where(datasets.c.project == project).correlate(projects)
    return of_jobs + of_datasets.scalar_subquery()


_USED = {"queued_jobs": _queued, "running_jobs": _running, "gpus": _gpus, "storage_bytes": _stored}
