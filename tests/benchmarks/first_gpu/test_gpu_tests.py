import pytest

from benchmarks.first_gpu.gpu_tests import outcome


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "tests/a.py::test_one[int8-1] PASSED     [  3%]",
            ("PASSED", "tests/a.py::test_one[int8-1]"),
        ),
        ("[gw1] [ 12%] FAILED tests/a.py::T::test_two ", ("FAILED", "tests/a.py::T::test_two")),
        ("[gw0] [100%] SKIPPED tests/a.py::test[a b] ", ("SKIPPED", "tests/a.py::test[a b]")),
        ("FAILED tests/a.py::test_two - assert 1 == 2", None),  # the summary tells it again
        ("E       AssertionError: PASSED", None),
        ("tests/a.py::test_one ", None),
    ],
)
def test_the_outcome_of_a_test_is_read_from_its_line(
    line: str, told: tuple[str, str] | None
) -> None:
    assert outcome(line) == told
