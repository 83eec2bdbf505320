import re
from pathlib import Path

import pytest

from relora_core.counted import counted, in_epochs

UNCOUNTED = re.compile(  # in a text such as f"{number} files", which says "1 files" of one
    r"\{[a-z][\w.]*(:,)?\} (attempts|bytes|checkpoints|documents|events|examples|fields|files"
    r"|generations|images|items|jobs|layers|messages|processes|ranks|restarts|rows|steps|times"
    r"|tokens|webhooks|workers)\b"
)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")]
)
def test_one_is_no_plural(number: int, text: str) -> None:
    assert counted(number, "file") == text


def test_no_message_counts_things_by_itself() -> None:
    root = Path(__file__).parents[2]
    packages = ("jobs", "relora_core", "service", "worker")
    files = [file for package in packages for file in (root / package).rglob("*.py")]
    found = [
        f"{file.relative_to(root)}: {text[0]}"
        for file in files
        for text in UNCOUNTED.finditer(file.read_text())
    ]
    assert found == []


def test_a_plural_may_be_of_its_own_kind() -> None:
    assert (counted(1, "is", "are"), counted(2, "is", "are")) == ("1 is", "2 are")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.25, "0.25 epochs"), (1, "1 epoch"), (3.5, "3.5 epochs"), (1234.4, "1,234 epochs")],
)
def test_epochs_are_told_with_two_digits_or_more(number: float, text: str) -> None:
    assert in_epochs(number) == text
