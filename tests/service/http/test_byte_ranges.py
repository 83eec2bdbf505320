"""The Range header."""

import pytest

from service.http.byte_ranges import RangeNotSatisfiable, parse_range


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=7-", (7, 10)),
        ("bytes=7-99", (7, 10)),
        pytest.param("bytes=0-" + "9" * 5000, (0, 10), id="5000 digits"),
        pytest.param("bytes=-" + "9" * 5000, (0, 10), id="5000 digits from the end"),
        pytest.param("bytes=" + "0" * 5000 + "7-", (7, 10), id="5000 zeros"),
        ("bytes=٣-", None),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes = 2 - 5", (2, 6)),
        (None, None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_is_read_and_what_is_none_means_the_whole(
    header: str | None, part: tuple[int, int] | None
) -> None:
    assert parse_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", f"bytes={10**4000}-"])
def test_a_range_outside_of_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 10)
