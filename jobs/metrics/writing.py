"""Writes to a job's curves: extend and cut. The caller must hold the lock of the job's row."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from jobs.database.tables.metrics import buckets, curves, points
from jobs.metrics.rollups import FANOUT, OpenEnd, Point, levels
from jobs.metrics.rows import bucket_row, read

CurveRow = Row[*tuple[Any, ...]]
NOTHING = -1  # the last step of an empty curve


def extend(connection: Connection, job_id: str, new: Mapping[str, Sequence[Point]]) -> None:
    """Add points to the curves with these names.

    If the new points begin at or before the last step of a curve, its points from there on are
    replaced.
    """
    told = {name: _increasing(some) for name, some in new.items()}
    of_length: dict[int, list[CurveRow]] = defaultdict(list)
    for curve in _opened(connection, job_id, told):
        of_length[curve.length].append(curve)
    for length, alike in of_length.items():
        _grow(connection, length, {curve.id: told[curve.name] for curve in alike})


def cut(connection: Connection, curve: CurveRow, step: int) -> None:
    """Delete the curve's points from `step` on."""
    gone = delete(points).where(points.c.curve_id == curve.id, points.c.step >= step)
    length = curve.length - connection.execute(gone).rowcount
    if beyond := [_beyond(level, length) for level in levels(curve.length)]:
        connection.execute(delete(buckets).where(buckets.c.curve_id == curve.id, or_(*beyond)))
    last = select(points.c.step).where(points.c.curve_id == curve.id, points.c.number == length - 1)
    connection.execute(
        update(curves)
        .where(curves.c.id == curve.id)
        .values(length=length, last_step=connection.scalar(last) if length else NOTHING)
    )


def _beyond(level: int, length: int) -> ColumnElement[bool]:
    return and_(buckets.c.level == level, buckets.c.number >= length // FANOUT**level)


def _increasing(some: Sequence[Point]) -> list[Point]:
    kept: list[Point] = []
    for point in some:
        while kept and kept[-1].step >= point.step:
            kept.pop()
        kept.append(point)
    return kept


def _opened(
    connection: Connection, job_id: str, told: Mapping[str, Sequence[Point]]
) -> Sequence[CurveRow]:
    """Return the curves with these names, created or cut so that the new points can follow."""
    query = select(curves).where(curves.c.job_id == job_id, curves.c.name.in_(told))
    known = connection.execute(query).all()
    behind = [curve for curve in known if told[curve.name][0].step <= curve.last_step]
    for curve in behind:
        cut(connection, curve, told[curve.name][0].step)
    missing = told.keys() - {curve.name for curve in known}
    if missing:
        empty = {"job_id": job_id, "length": 0, "last_step": NOTHING}
        connection.execute(insert(curves), [{"name": name, **empty} for name in sorted(missing)])
    return connection.execute(query).all() if behind or missing else known


def _grow(connection: Connection, length: int, told: Mapping[int, Sequence[Point]]) -> None:
    """Add points to curves that each have `length` points, and the buckets that they complete."""
    ends = read(connection, told.keys(), OpenEnd.spans(length)) if length else {}
    new_points, new_buckets = [], []
    for curve_id, some in told.items():
        end = OpenEnd(length, ends.get(curve_id, ()))
        for number, point in enumerate(some, length):
            new_points.append({"curve_id": curve_id, "number": number, **point._asdict()})
            new_buckets += [bucket_row(curve_id, *complete) for complete in end.add(point)]
    connection.execute(insert(points), new_points)
    if new_buckets:
        connection.execute(insert(buckets), new_buckets)
    grown = (
        update(curves)
        .where(curves.c.id == bindparam("curve"))
        .values(length=bindparam("new_length"), last_step=bindparam("new_last"))
    )
    connection.execute(
        grown,
        [
            {"curve": curve_id, "new_length": length + len(some), "new_last": some[-1].step}
            for curve_id, some in told.items()
        ],
    )
