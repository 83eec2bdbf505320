"""Rollups of a curve: levels of buckets, to read it at many scales.

Every four points make a bucket, and every four buckets make a bucket of the next level. A bucket
has the first, the last, the lowest and the highest of its points, and the number and the total of
those that are finite. So a chart of any width reads only a few thousand rows of a curve of any
length, and still shows each peak and the true mean. Points have the numbers 0, 1, 2, ... Bucket n
of level k begins at point n * 4**k and has 4**k points. A bucket is written once, when its last
point comes. Nothing is ever recomputed from all points.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

FANOUT = 4


class Point(NamedTuple):
    step: int
    value: float | None  # None: the value was not finite


class Bucket(NamedTuple):
    """A summary of consecutive points. The fields are in the order of the table's columns."""

    first_step: int
    first: float | None
    last_step: int
    last: float | None
    low_step: int | None  # of the lowest finite value; None if no value is finite
    low: float | None
    high_step: int | None
    high: float | None
    gap_step: int | None  # the first step whose value was not finite
    num_finite: int
    total: float  # of the finite values

    @classmethod
    def of(cls, point: Point) -> "Bucket":
        step, value = point
        if value is None:
            return cls(step, None, step, None, None, None, None, None, step, 0, 0.0)
        return cls(step, value, step, value, step, value, step, value, None, 1, value)

    @property
    def mean(self) -> float | None:
        """Mean of the finite values; None if there is none."""
        return self.total / self.num_finite if self.num_finite else None


_LOW, _HIGH = attrgetter("low"), attrgetter("high")


def joined(buckets: Sequence[Bucket]) -> Bucket:
    """Join consecutive buckets into one."""
    if len(buckets) == 1:
        return buckets[0]
    finite = [bucket for bucket in buckets if bucket.low is not None] or buckets[:1]
    return Bucket(
        *buckets[0][:2],
        *buckets[-1][2:4],
        *min(finite, key=_LOW)[4:6],
        *max(finite, key=_HIGH)[6:8],
        next((b.gap_step for b in buckets if b.gap_step is not None), None),
        sum(bucket.num_finite for bucket in buckets),
        sum(bucket.total for bucket in buckets),
    )


class Span(NamedTuple):
    """The buckets [first, end) of one level. Level 0 is the points themselves."""

    level: int
    first: int
    end: int


def levels(length: int) -> range:
    """Return the levels that have at least one bucket when there are `length` points."""
    top = 0
    while FANOUT ** (top + 1) <= length:
        top += 1
    return range(1, top + 1)


def cover(first: int, end: int, level: int) -> list[Span]:
    """Return spans that cover the points [first, end) exactly.

    They are buckets of `level`, and buckets of finer levels at both edges.
    """
    heads: list[Span] = []
    tails: list[Span] = []
    for finer in range(level):
        head_end = min(-(-first // FANOUT) * FANOUT, end)
        tail = max(end // FANOUT * FANOUT, head_end)
        heads.append(Span(finer, first, head_end))
        tails.append(Span(finer, tail, end))
        first, end = head_end // FANOUT, tail // FANOUT
    spans = [*heads, Span(level, first, end), *reversed(tails)]
    return [span for span in spans if span.first < span.end]


class OpenEnd:
    """The last buckets of each level, which are too few to make a bucket of the next level."""

    def __init__(self, length: int, buckets: Iterable[tuple[int, Bucket]] = ()) -> None:
        """Start from `length` points; `buckets` are those of `spans(length)`, in order."""
        self.length = length
        self._open: dict[int, list[Bucket]] = {}
        for level, bucket in buckets:
            self._open.setdefault(level, []).append(bucket)

    @staticmethod
    def spans(length: int) -> list[Span]:
        """Return the spans of the open end of a curve with `length` points."""
        return cover(0, length, len(levels(length)) + 1)

    def add(self, point: Point) -> Iterator[tuple[int, int, Bucket]]:
        """Yield the level and the number of each bucket that the point completes."""
        self.length += 1
        level, bucket = 0, Bucket.of(point)
        while True:
            row = self._open.setdefault(level, [])
            row.append(bucket)
            if len(row) < FANOUT:
                return
            bucket = joined(row)
            row.clear()
            level += 1
            yield level, self.length // FANOUT**level - 1, bucket


def thinned(buckets: Sequence[Bucket], max_points: int) -> list[Point]:
    """Downsample buckets to at most `max_points` points.

    The result has the first and the last point, and the lowest and the highest point of each part
    of the curve. A part with a value that was not finite has a third point, the gap.
    """
    kept = 3 if any(bucket.gap_step is not None for bucket in buckets) else 2
    parts = min((max_points - 2) // kept, len(buckets))
    cuts = [part * len(buckets) // parts for part in range(parts + 1)]
    points = {Point(*buckets[0][:2]), Point(*buckets[-1][2:4])}
    for start, end in pairwise(cuts):
        part = joined(buckets[start:end])
        if part.low_step is not None and part.high_step is not None:
            points |= {Point(part.low_step, part.low), Point(part.high_step, part.high)}
        if part.gap_step is not None:
            points.add(Point(part.gap_step, None))
    return sorted(points)
