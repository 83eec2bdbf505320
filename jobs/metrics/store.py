"""Read access to a job's metrics: downsampled for a chart, or all points."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from jobs.database.engine import READ_ONLY
from jobs.database.tables.jobs import jobs
from jobs.database.tables.metrics import curves, markers, points
from jobs.errors import JobNotFound
from jobs.metrics.rollups import FANOUT, Bucket, Point, cover, thinned
from jobs.metrics.rows import read
from jobs.schemas.metric_names import description_of, in_order
from jobs.schemas.metrics import Curve, Marker, Means, Metrics

PAGE = 5000  # how many points one query reads when all points are asked for

CurveRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True)
class Steps:
    """A range of steps with both ends included. None means no limit."""

    first: int | None = None
    last: int | None = None


ALL_STEPS = Steps()


@dataclass(frozen=True)
class TableRow:
    """The metrics at one step. A value that was not finite is None."""

    step: int
    values: dict[str, float | None]


class MetricStore:
    def __init__(self, engine: Engine) -> None:
        self._reads = engine.execution_options(**READ_ONLY)

    def get(
        self,
        job_id: str,
        *,
        names: Collection[str] | None = None,
        steps: Steps = ALL_STEPS,
        max_points: int = 1000,
    ) -> Metrics:
        """Return the curves of `names`, or all, each with at most `max_points` points.

        Where one of them is downsampled, all are read at the same scale, so that their means are
        at the same steps.
        """
        with self._reads.begin() as connection:
            found = _curves(connection, job_id, names)
            marked = _markers(connection, job_id, steps)
            ranges = [(curve, *_numbers(connection, curve, steps)) for curve in found]
            drawn = _drawn(connection, ranges, max_points)
        return Metrics(curves=drawn, markers=marked)

    def names(self, job_id: str, names: Collection[str] | None = None) -> list[str]:
        """Return those of `names`, or all, that have points, in the order of the metrics' table."""
        with self._reads.begin() as connection:
            return [curve.name for curve in _curves(connection, job_id, names)]

    def table(self, job_id: str, names: Collection[str]) -> Iterator[TableRow]:
        """Yield all points, grouped by step. They are read in pages, as they are needed."""
        with self._reads.begin() as connection:
            found = _curves(connection, job_id, names)
        columns = [_pages(self._reads, curve) for curve in found]
        for step, cells in groupby(merge(*columns, key=_step), key=_step):
            yield TableRow(step, {name: point.value for name, point in cells})


def _curves(connection: Connection, job_id: str, names: Collection[str] | None) -> list[CurveRow]:
    query = select(curves).where(curves.c.job_id == job_id)
    if names is not None:
        query = query.where(curves.c.name.in_(names))
    found = {curve.name: curve for curve in connection.execute(query)}
    if not found and connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is None:
        raise JobNotFound(job_id)
    return [found[name] for name in in_order(found)]


def _markers(connection: Connection, job_id: str, steps: Steps) -> list[Marker]:
    query = select(markers).where(markers.c.job_id == job_id)
    if steps.first is not None:
        query = query.where(markers.c.step >= steps.first)
    if steps.last is not None:
        query = query.where(markers.c.step <= steps.last)
    rows = connection.execute(query.order_by(markers.c.step, markers.c.event))
    return [Marker(step=r.step, kind=r.kind, attempt=r.attempt, event=r.event) for r in rows]


def _numbers(connection: Connection, curve: CurveRow, steps: Steps) -> tuple[int, int]:
    """Return the numbers [first, end) of the curve's points in a range of steps."""
    number = select(points.c.number).where(points.c.curve_id == curve.id).limit(1)
    first, end = 0, curve.length
    if steps.first is not None:
        after = number.where(points.c.step >= steps.first).order_by(points.c.step)
        found = connection.scalar(after)
        first = end if found is None else found
    if steps.last is not None:
        before = number.where(points.c.step <= steps.last).order_by(points.c.step.desc())
        found = connection.scalar(before)
        end = 0 if found is None else found + 1
    return first, max(first, end)


def _drawn(
    connection: Connection, ranges: Sequence[tuple[CurveRow, int, int]], max_points: int
) -> list[Curve]:
    """Read the curves; curves with the same range share their queries."""
    longest = max((end - first for _, first, end in ranges), default=0)
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for curve, first, end in ranges:
        alike[first, end].append(curve.id)
    found: dict[int, list[Bucket]] = {}
    for (first, end), curve_ids in alike.items():
        level = _level(longest, max_points) if end - first > max_points else 0
        pairs = read(connection, curve_ids, cover(first, end, level))
        found |= {curve_id: [bucket for _, bucket in some] for curve_id, some in pairs.items()}
    return [
        _curve(curve.name, end - first, found.get(curve.id, []), max_points)
        for curve, first, end in ranges
    ]


def _level(count: int, max_points: int) -> int:
    """Return the finest level at which `count` points are at most `max_points` buckets."""
    level = 0
    while count // FANOUT**level > max_points:
        level += 1
    return level


def _curve(name: str, count: int, some: Sequence[Bucket], max_points: int) -> Curve:
    whole = count <= max_points
    kept = (
        [Point(bucket.first_step, bucket.first) for bucket in some]
        if whole
        else thinned(some, max_points)
    )
    return Curve(
        name=name,
        description=description_of(name),
        num_points=count,
        steps=[point.step for point in kept],
        values=[point.value for point in kept],
        means=None if whole else _means(some),
    )


def _means(some: Sequence[Bucket]) -> Means:
    return Means(
        steps=[bucket.last_step for bucket in some],
        values=[bucket.mean for bucket in some],
        counts=[bucket.num_finite for bucket in some],
    )


def _pages(reads: Engine, curve: CurveRow) -> Iterator[tuple[str, Point]]:
    for start in range(0, curve.length, PAGE):
        query = (
            select(points.c.step, points.c.value)
            .where(points.c.curve_id == curve.id)
            .where(points.c.number >= start, points.c.number < start + PAGE)
            .order_by(points.c.number)
        )
        with reads.begin() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            yield curve.name, Point(row.step, row.value)


def _step(cell: tuple[str, Point]) -> int:
    return cell[1].step
