"""A curve at many scales: every four points make a bucket, every four buckets a larger one.

A bucket tells the ends, the lowest and the highest of its points, so that a chart of any width
reads a few thousand rows of a curve of any length, and shows each peak. Points are numbered
0, 1, 2, ...; bucket n of level k holds those from n * 4**k on. It is written once, when its
last point comes: nothing is ever computed again from all points.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

FANOUT = 4


class Point(NamedTuple):
    step: int
    value: float | None  # None: it was not finite


class Bucket(NamedTuple):
    """Points that follow each other, in the order of the table's columns."""

    first_step: int
    first: float | None
    last_step: int
    last: float | None
    low_step: int | None  # the lowest of those that are finite, if one is
    low: float | None
    high_step: int | None
    high: float | None
    gap_step: int | None  # the first step whose value was not finite

    @classmethod
    def of(cls, point: Point) -> "Bucket":
        step, value = point
        if value is None:
            return cls(step, None, step, None, None, None, None, None, gap_step=step)
        return cls(step, value, step, value, step, value, step, value, gap_step=None)


_LOW, _HIGH = attrgetter("low"), attrgetter("high")


def joined(buckets: Sequence[Bucket]) -> Bucket:
    """One bucket for some that follow each other."""
    if len(buckets) == 1:
        return buckets[0]
    finite = [bucket for bucket in buckets if bucket.low is not None] or buckets[:1]
    return Bucket(
        *buckets[0][:2],
        *buckets[-1][2:4],
        *min(finite, key=_LOW)[4:6],
        *max(finite, key=_HIGH)[6:8],
        next((b.gap_step for b in buckets if b.gap_step is not None), None),
    )


class Span(NamedTuple):
    """Numbers `first` to `end` of one level; level 0 is the points themselves."""

    level: int
    first: int
    end: int


def levels(length: int) -> range:
    """The levels that have a bucket, when there are `length` points."""
    top = 0
    while FANOUT ** (top + 1) <= length:
        top += 1
    return range(1, top + 1)


def cover(first: int, end: int, level: int) -> list[Span]:
    """What to read of the points [first, end): buckets of `level`, finer ones at the edges."""
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
    """The last buckets of each level, as long as they are too few to make a larger one."""

    def __init__(self, length: int, buckets: Iterable[tuple[int, Bucket]] = ()) -> None:
        """`buckets` are those of `spans_of(length)`, in order, with their levels."""
        self.length = length
        self._open: dict[int, list[Bucket]] = {}
        for level, bucket in buckets:
            self._open.setdefault(level, []).append(bucket)

    @staticmethod
    def spans(length: int) -> list[Span]:
        """What an open end of that length consists of."""
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
    """At most `max_points` points: the ends of all, and of each part its lowest and highest.

    A part with a value that was not finite has a third point, the gap.
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
