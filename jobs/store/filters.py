"""Filters for lists of jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select

from jobs.database.tables.jobs import jobs
from jobs.schemas.status import JobStatus
from jobs.store.labels import has_labels

PAGE_BYTES = 2 << 20  # the most bytes of specs in a page; a page has at least one job


@dataclass(frozen=True)
class JobFilter:
    """Conditions on jobs. A job must meet all that are given.

    `before` is the id of the last job of the previous page.
    """

    statuses: frozenset[JobStatus] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()
    method: str | None = None
    id_prefix: str | None = None
    created_after: datetime | None = None  # inclusive
    created_before: datetime | None = None
    before: str | None = None

    def query(self, project: str, limit: int) -> Select[tuple[object, ...]]:
        """Return the query for at most `limit` jobs of the project, the newest first."""
        where = self.conditions(project)
        return select(jobs).where(*where).order_by(jobs.c.id.desc()).limit(limit)

    def conditions(self, project: str) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = [jobs.c.project == project]
        if self.statuses:
            conditions.append(jobs.c.status.in_(self.statuses))
        if self.method is not None:
            conditions.append(jobs.c.method == self.method)
        if self.id_prefix is not None:
            conditions.append(jobs.c.id.startswith(self.id_prefix, autoescape=True))
        if self.created_after is not None:
            conditions.append(jobs.c.created_at >= self.created_after)
        if self.created_before is not None:
            conditions.append(jobs.c.created_at < self.created_before)
        if self.before is not None:
            conditions.append(jobs.c.id < self.before)
        return conditions + has_labels(self.labels)


ALL_JOBS = JobFilter()


def within_a_page(rows: Sequence[Row[*tuple[Any, ...]]]) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the first rows whose specs together have at most `PAGE_BYTES`; at least one row."""
    sizes = accumulate(len(row.spec) for row in rows)
    return rows[: max(1, sum(size <= PAGE_BYTES for size in sizes))]
