import pytest

from relora_core.counted import counted, in_epochs


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")]
)
def test_one_is_no_plural(number: int, text: str) -> None:
    assert counted(number, "file") == text


def test_a_plural_may_be_of_its_own_kind() -> None:
    assert (counted(1, "is", "are"), counted(2, "is", "are")) == ("1 is", "2 are")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.25, "0.25 epochs"), (1, "1 epoch"), (3.5, "3.5 epochs"), (1234.4, "1,234 epochs")],
)
def test_epochs_are_told_with_two_digits_or_more(number: float, text: str) -> None:
    assert in_epochs(number) == text
