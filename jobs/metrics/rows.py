"""Conversion between rows of the database and the points and buckets of curves."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from jobs.database.tables.metrics import buckets, points
from jobs.metrics.rollups import Bucket, Point, Span

Read = dict[int, list[tuple[int, Bucket]]]  # by curve: levels and buckets, sorted by step


def read(connection: Connection, curve_ids: Collection[int], spans: Sequence[Span]) -> Read:
    """Read these spans of some curves. A point is returned as a bucket of level 0."""
    found: Read = defaultdict(list)
    for query, of in ((_points(curve_ids, spans), _of_point), (_buckets(curve_ids, spans), _of)):
        if query is not None:
            for row in connection.execute(query).all():
                found[row[0]].append(of(row))
    for row_of_buckets in found.values():
        row_of_buckets.sort(key=lambda pair: pair[1].first_step)
    return found


def _points(curve_ids: Collection[int], spans: Sequence[Span]) -> Select[Any] | None:
    ranges = [_within(points.c.number, span) for span in spans if span.level == 0]
    if not ranges:
        return None
    return select(points.c.curve_id, points.c.step, points.c.value).where(
        or_(*(and_(points.c.curve_id.in_(curve_ids), within) for within in ranges))
    )


def _buckets(curve_ids: Collection[int], spans: Sequence[Span]) -> Select[Any] | None:
    ranges = [
        and_(buckets.c.level == span.level, _within(buckets.c.number, span))
        for span in spans
        if span.level > 0
    ]
    if not ranges:
        return None
    return select(buckets).where(
        or_(*(and_(buckets.c.curve_id.in_(curve_ids), within) for within in ranges))
    )


def _within(number: ColumnElement[int], span: Span) -> ColumnElement[bool]:
    return and_(number >= span.first, number < span.end)


def _of_point(row: Row[*tuple[Any, ...]]) -> tuple[int, Bucket]:
    return 0, Bucket.of(Point(*row[1:]))


def _of(row: Row[*tuple[Any, ...]]) -> tuple[int, Bucket]:
    return row[1], Bucket._make(row[3:])


def bucket_row(curve_id: int, level: int, number: int, bucket: Bucket) -> dict[str, object]:
    return {"curve_id": curve_id, "level": level, "number": number, **bucket._asdict()}
