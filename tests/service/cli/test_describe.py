"""An event in a line."""

from datetime import UTC, datetime
from io import StringIO
from typing import get_args

import pytest
from rich.console import Console
from rich.text import Text

from jobs.schemas.events import AnyJobEvent, JobSucceeded
from service.cli.describe import SIGNS, describe, print_event


def test_a_line_has_the_time_a_sign_and_the_events_own_words() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    line = describe(JobSucceeded(time=time)).plain
    assert line == f"{time.astimezone():%H:%M:%S} ✓ succeeded"


def test_only_the_small_steps_have_the_lesser_sign() -> None:
    lesser = {event.model_fields["type"].default for event in get_args(AnyJobEvent)} - {
        event.model_fields["type"].default for event in SIGNS
    }
    assert lesser == {
        "train.data_progress",
        "train.step",
        "train.reinit",
        "train.optimizer_reset",
        "train.lr_restart",
        "train.checkpoint_deleted",
    }


@pytest.mark.parametrize("width", [60, 80])
def test_a_line_too_wide_for_the_terminal_goes_on_at_a_word_below_its_words(width: int) -> None:
    words = "all that was found is written here, " * 4
    line = Text(f"12:00:00 ! {words.strip()}")
    screen = Console(file=StringIO(), force_terminal=True, width=width, color_system=None)
    print_event(screen, line)
    assert isinstance(screen.file, StringIO)
    first, *others = [one.rstrip() for one in screen.file.getvalue().splitlines()]
    assert others
    assert first.startswith("12:00:00 ! all that")
    assert all(one.startswith(" " * 11) and one[11] != " " for one in others)
    assert max(map(len, [first, *others])) <= width
    assert " ".join(one[11:] for one in [first, *others]) == words.strip()


def test_a_program_reads_a_line_for_each_event() -> None:
    screen = Console(file=StringIO(), width=60, color_system=None)
    print_event(screen, Text("12:00:00 ! " + "word " * 40))
    assert isinstance(screen.file, StringIO)
    assert screen.file.getvalue().count("\n") == 1
