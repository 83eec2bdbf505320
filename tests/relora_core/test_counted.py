import pytest

from relora_core.counted import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")]
)
def test_one_is_no_plural(number: int, text: str) -> None:
    assert counted(number, "file") == text


def test_a_plural_may_be_of_its_own_kind() -> None:
    assert (counted(1, "is", "are"), counted(2, "is", "are")) == ("1 is", "2 are")
