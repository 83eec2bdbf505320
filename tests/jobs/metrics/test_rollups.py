"""Buckets of points: each is completed once, and curves are read at any scale."""

import math

import pytest

from jobs.metrics.rollups import Bucket, OpenEnd, Point, Span, cover, joined, levels, thinned


def curve(length: int) -> list[Point]:
    return [Point(10 * n, math.sin(n * n)) for n in range(length)]


def every_bucket(points: list[Point]) -> dict[tuple[int, int], Bucket]:
    """Return all stored buckets by level and number. The points are level 0."""
    end = OpenEnd(0)
    stored = {(0, n): Bucket.of(point) for n, point in enumerate(points)}
    for point in points:
        stored |= {(level, number): bucket for level, number, bucket in end.add(point)}
    return stored


def test_a_bucket_is_complete_with_every_fourth_point_or_bucket() -> None:
    stored = every_bucket(curve(70))
    assert [len([1 for at, _ in stored if at == level]) for level in range(5)] == [70, 17, 4, 1, 0]
    assert list(levels(70)) == [1, 2, 3]


def test_a_bucket_tells_of_all_its_points() -> None:
    points = curve(64)
    for (level, number), bucket in every_bucket(points).items():
        width = 4**level
        inside = points[number * width : (number + 1) * width]
        lowest = min(inside, key=lambda point: point.value or 0)
        highest = max(inside, key=lambda point: point.value or 0)
        ends = (*inside[0], *inside[-1], *lowest, *highest, None)
        assert bucket[:-1] == (*ends, width)
        assert bucket.mean == pytest.approx(math.fsum(point.value or 0 for point in inside) / width)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("first", "end"), [(0, 0), (0, 70), (0, 64), (1, 3), (3, 5), (5, 66), (63, 70), (16, 32)]
)
def test_a_cover_holds_each_point_of_the_range_once(first: int, end: int, level: int) -> None:
    held = [
        n
        for span in cover(first, end, level)
        for n in range(span.first * 4**span.level, span.end * 4**span.level)
    ]
    assert held == list(range(first, end))


def test_a_cover_has_few_rows_at_its_edges() -> None:
    assert cover(5, 70, 2) == [
        Span(0, 5, 8),
        Span(1, 2, 4),
        Span(2, 1, 4),
        Span(1, 16, 17),
        Span(0, 68, 70),
    ]


@pytest.mark.parametrize("length", [0, 1, 5, 16, 21, 63, 64, 70])
def test_an_open_end_that_is_read_back_goes_on_as_if_it_had_stayed(length: int) -> None:
    points = curve(100)
    stored = every_bucket(points)
    read_back = [
        (span.level, stored[span.level, number])
        for span in OpenEnd.spans(length)
        for number in range(span.first, span.end)
    ]
    end = OpenEnd(length, read_back)
    for point in points[length:]:
        for level, number, bucket in end.add(point):
            assert stored[level, number] == bucket


def test_a_value_that_is_not_finite_is_a_gap_and_no_extreme() -> None:
    bucket = joined(
        [Bucket.of(Point(step, value)) for step, value in ((1, 2.0), (2, None), (3, 1.0))]
    )
    assert bucket.mean == 1.5
    assert bucket == (1, 2.0, 3, 1.0, 3, 1.0, 1, 2.0, 2, 2, 3.0)
    empty = joined([Bucket.of(Point(7, None))] * 2)
    assert (empty.low, empty.mean) == (None, None)


def test_a_thinned_curve_keeps_its_ends_and_the_extremes_of_each_part() -> None:
    values = [0.0] * 100
    values[33], values[34], values[70] = 9.0, -9.0, 5.0
    thin = thinned([Bucket.of(Point(n, value)) for n, value in enumerate(values)], 10)
    assert len(thin) <= 10
    assert thin[0] == (0, 0.0)
    assert thin[-1] == (99, 0.0)
    assert {(33, 9.0), (34, -9.0), (70, 5.0)} <= set(thin)


def test_a_thinned_curve_shows_its_gaps_within_the_same_number_of_points() -> None:
    points = [Point(n, None if n == 50 else float(n % 7)) for n in range(100)]
    thin = thinned([Bucket.of(point) for point in points], 10)
    assert len(thin) <= 10
    assert Point(50, None) in thin
