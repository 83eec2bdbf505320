"""The order of the queue: the higher priority first, and of equals the older job."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select

from jobs.status import JobStatus
from jobs.tables import jobs

IN_ORDER = (jobs.c.priority.desc(), jobs.c.id)


def position(connection: Connection, row: Row[*tuple[Any, ...]]) -> int | None:
    """Of a job in the whole queue: 1 is next. None for one that does not wait."""
    if row.status is not JobStatus.QUEUED:
        return None
    before = or_(
        jobs.c.priority > row.priority, and_(jobs.c.priority == row.priority, jobs.c.id < row.id)
    )
    ahead = select(func.count()).where(jobs.c.status == JobStatus.QUEUED, before)
    return 1 + (connection.scalar(ahead) or 0)


def positions(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[str, int]:
    """As `position`, of many jobs in one look."""
    waiting = {row.id for row in rows if row.status is JobStatus.QUEUED}
    return _ranked(connection, waiting) if waiting else {}


def _ranked(connection: Connection, job_ids: Collection[str]) -> dict[str, int]:
    rank = func.row_number().over(order_by=IN_ORDER).label("rank")
    queue = select(jobs.c.id, rank).where(jobs.c.status == JobStatus.QUEUED).subquery()
    query = select(queue.c.id, queue.c.rank).where(queue.c.id.in_(job_ids))
    return {row.id: row.rank for row in connection.execute(query)}
