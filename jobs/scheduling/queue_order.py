"""The order of the queue: fair share between projects, priority within a project.

The project whose running jobs have the fewest GPUs is next. Within a project the job with the
highest priority goes first. Among jobs of the same priority the oldest goes first.
"""

import builtins
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Row,
    Select,
    Subquery,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    union_all,
)

from jobs.database.engine import READ_ONLY
from jobs.database.row_mapping import name_from
from jobs.database.tables.jobs import jobs, projects
from jobs.scheduling.placement import Asked, unschedulable_reasons
from jobs.schemas.queue import QueuedJob
from jobs.schemas.status import LEASED, JobStatus

IN_ORDER = (jobs.c.priority.desc(), jobs.c.id)  # within one project
_QUEUED = jobs.c.status == JobStatus.QUEUED
_LEASED = jobs.c.status.in_(LEASED)


def position(connection: Connection, row: Row[*tuple[Any, ...]]) -> int | None:
    """Return the position of a job in the queue of all projects; 1 is next.

    Return None for a job that is not queued.
    """
    if row.status is not JobStatus.QUEUED:
        return None
    job = {"job_id": row.id, "job_project": row.project, "job_priority": row.priority}
    before, turn = connection.execute(_BEFORE_IN_PROJECT, job).one()
    return 1 + before + (connection.scalar(_BEFORE_IN_OTHERS, job | {"turn": turn}) or 0)


def positions(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[str, int]:
    """Return the positions of many jobs, by id, with one query over the whole queue."""
    waiting = {row.id for row in rows if row.status is JobStatus.QUEUED}
    if not waiting:
        return {}
    queue = _queue()
    query = select(queue.c.id, queue.c.rank).where(queue.c.id.in_(waiting))
    return {row.id: row.rank for row in connection.execute(query)}


def _before(priority: int, job_id: str) -> ColumnElement[bool]:
    """Return the SQL condition that a job goes before the job with this priority and id."""
    as_old = and_(jobs.c.priority == priority, jobs.c.id < job_id)
    return or_(jobs.c.priority > priority, as_old)


def first(may_run: ColumnElement[bool]) -> Select[str]:
    """Return the query for the id of the next queued job for which `may_run` is true."""
    project, leased = projects.alias("project"), _leased_gpus().subquery()
    next_job = (
        select(jobs.c.id)
        .where(jobs.c.project == project.c.name, _QUEUED, may_run)
        .order_by(*IN_ORDER)
        .limit(1)
        .correlate(project)
    )
    turns = (
        select(
            next_job.scalar_subquery().label("id"), func.coalesce(leased.c.gpus, 0).label("turn")
        )
        .select_from(project)
        .outerjoin(leased, leased.c.project == project.c.name)
        .subquery()
    )
    query = select(turns.c.id).where(turns.c.id.is_not(None))
    return query.order_by(turns.c.turn, turns.c.id).limit(1)


def _queue() -> Subquery:
    """Return the queued jobs of all projects, each with its rank in the queue."""
    leased = _leased_gpus().subquery()
    turn = func.coalesce(leased.c.gpus, 0) + _gpus_ahead(partition_by=jobs.c.project)
    queued = select(jobs.c.id, turn.label("turn")).where(_QUEUED)
    turns = queued.outerjoin(leased, leased.c.project == jobs.c.project).subquery()
    rank = func.row_number().over(order_by=(turns.c.turn, turns.c.id)).label("rank")
    return select(turns.c.id, rank).subquery()


def _gpus_ahead(partition_by: ColumnElement[str] | None = None) -> ColumnElement[int]:
    """Return the GPUs of the queued jobs that are before a job in its project.

    The turn of a job is these GPUs plus those of the running jobs of its project. It is the order
    in which jobs are claimed if no running job ends.
    """
    gpus = func.sum(jobs.c.gpus)
    ahead = gpus.over(partition_by=partition_by, order_by=IN_ORDER, rows=(None, -1))
    return func.coalesce(ahead, 0)


def _leased_gpus() -> Select[str, int]:
    gpus = func.sum(jobs.c.gpus).label("gpus")
    return select(jobs.c.project, gpus).where(_LEASED).group_by(jobs.c.project)


def _before_in_project() -> Select[int, int]:
    """Return the query for the number of jobs before a job in its project, and for its turn."""
    of_project = jobs.c.project == bindparam("job_project")
    leased = select(func.coalesce(func.sum(jobs.c.gpus), 0)).where(_LEASED, of_project)
    queued = select(jobs.c.gpus).where(_QUEUED, of_project)
    priority = bindparam("job_priority", type_=Integer)
    before = union_all(  # two ranges of the index; one combined condition would read all of it
        queued.where(jobs.c.priority > priority),
        queued.where(jobs.c.priority == priority, jobs.c.id < bindparam("job_id")),
    ).subquery()
    gpus = func.coalesce(func.sum(before.c.gpus), 0)
    return select(func.count(), leased.scalar_subquery() + gpus).select_from(before)


def _before_in_others() -> Select[int]:
    """Return the query for the number of jobs of other projects before the job with this turn.

    Each job adds at least one GPU to the turn of the next job of its project. So only the first
    `turn + 1` jobs of each project have to be read.
    """
    turn = bindparam("turn", type_=Integer)
    leased = _leased_gpus().subquery()
    queued = (
        select(jobs.c.id, _gpus_ahead().label("gpus_ahead"))  # no partition: `limit` ends it early
        .where(_QUEUED, jobs.c.project == projects.c.name)
        .order_by(*IN_ORDER)
        .limit(turn + 1)
        .correlate(projects)
        .subquery()
    )
    place = tuple_(func.coalesce(leased.c.gpus, 0) + queued.c.gpus_ahead, queued.c.id)
    before = select(func.count()).where(place < tuple_(turn, bindparam("job_id")))
    return (
        select(func.sum(before.select_from(queued).scalar_subquery()))
        .select_from(projects.outerjoin(leased, leased.c.project == projects.c.name))
        .where(projects.c.name != bindparam("job_project"))
    )


_BEFORE_IN_PROJECT, _BEFORE_IN_OTHERS = _before_in_project(), _before_in_others()


class WaitingJobs:
    """Read access of a project to the queue."""

    def __init__(self, engine: Engine) -> None:
        self._reads = engine.execution_options(**READ_ONLY)

    def list(
        self, *, project: str, limit: int, cursor: str | None = None
    ) -> builtins.list[QueuedJob]:
        """Return the queued jobs of the project in the order in which they will run.

        `cursor` is that of the last job of the previous page.
        """
        queue = _queue()
        query = select(jobs, queue.c.rank).join(queue, queue.c.id == jobs.c.id)
        query = query.where(jobs.c.project == project)
        if cursor is not None:
            priority, _, job_id = cursor.partition(".")
            query = query.where(~_before(int(priority), job_id), jobs.c.id != job_id)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(queue.c.rank).limit(limit)).all()
            found = unschedulable_reasons(
                connection, {row.id: Asked(row.gpus, row.gpu_class) for row in rows}
            )
            return [_queued_job_from(row, found.get(row.id)) for row in rows]

    def counts(self, *, project: str) -> dict[JobStatus, int]:
        """Return the number of jobs with each status, 0 included."""
        query = select(jobs.c.status, func.count()).where(jobs.c.project == project)
        with self._reads.begin() as connection:
            rows = connection.execute(query.group_by(jobs.c.status)).all()
        found = {status: count for status, count in rows}  # noqa: C416 # a row is no pair to dict()
        return {status: found.get(status, 0) for status in JobStatus}


def _queued_job_from(row: Row[*tuple[Any, ...]], unschedulable_reason: str | None) -> QueuedJob:
    return QueuedJob(
        position=row.rank,
        job_id=row.id,
        name=name_from(row.spec),
        priority=row.priority,
        waiting_for_quota=row.waiting_for_quota,
        unschedulable_reason=unschedulable_reason,
        created_at=row.created_at,
    )
