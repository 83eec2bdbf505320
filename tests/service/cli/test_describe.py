"""An event in a line."""

from datetime import UTC, datetime
from typing import get_args

from jobs.schemas.events import AnyJobEvent, JobSucceeded
from service.cli.describe import SIGNS, describe


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
