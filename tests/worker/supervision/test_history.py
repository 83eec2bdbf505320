"""Unstored events of an earlier attempt, which the next attempt stores before it resumes."""

import pytest

from jobs.backends import Backends
from relora_core.events import (
    AnyTrainEvent,
    CheckpointDeleted,
    Rewound,
    StepFinished,
    TrainStarted,
    to_line,
)
from tests.fixtures.reports import step_finished
from tests.worker.checkpoints import save_checkpoint
from tests.worker.conftest import BeginAttempt
from worker.attempt.attempt import Attempt
from worker.transfers.restore import restore

STARTED = TrainStarted(
    step=0, total_steps=100, parameters=1, tokens_per_step=1, world_size=1, device="cpu"
)


def lost(attempt: Attempt, events: list[AnyTrainEvent], *, stored: int) -> Attempt:
    """Return an attempt that reported `events`, of which its worker stored some before it died."""
    attempt.workdir.events.write_text("".join(to_line(event) + "\n" for event in events))
    attempt.store.append(attempt.job.id, attempt.number, list(enumerate(events[:stored], start=1)))
    attempt.store.requeue(attempt.job.id, attempt.number)
    return attempt


def told(backends: Backends, job_id: str) -> list[tuple[int | None, int]]:
    """Return the attempt and the step of each reported step."""
    events = backends.store.events(job_id, types={"train.step"})
    return [(event.attempt, event.step) for event in events if isinstance(event, StepFinished)]


def loss_steps(backends: Backends, job_id: str) -> list[int]:
    (curve,) = backends.metrics.get(job_id, names=["loss"], max_points=100).curves
    return curve.steps


@pytest.mark.parametrize("stored", [0, 1, 3, 6])
def test_what_led_to_its_checkpoint_is_stored_once(
    begin_attempt: BeginAttempt, backends: Backends, stored: int
) -> None:
    first = begin_attempt()
    saved = save_checkpoint(first, 40)
    reports = [step_finished(step) for step in (10, 20, 30, 40, 50)]
    lost(first, [STARTED, *reports, saved, step_finished(60)], stored=stored)
    before = told(backends, first.job.id)

    assert restore(begin_attempt(job_id=first.job.id)) == 40

    later = [(1, 50)] if (1, 50) in before else []  # it was stored, and is repeated
    assert told(backends, first.job.id) == [(1, 10), (1, 20), (1, 30), (1, 40), *later]
    assert [step for step in loss_steps(backends, first.job.id) if step <= 40] == [10, 20, 30, 40]
    markers = backends.metrics.get(first.job.id, names=["loss"], max_points=100).markers
    assert [(marker.step, marker.kind, marker.attempt) for marker in markers] == [
        (40, "checkpoint", 1)
    ]


def test_a_checkpoint_that_was_not_reported_yet_has_all_steps_up_to_it(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    first = begin_attempt()
    save_checkpoint(first, 20)
    lost(first, [STARTED, *map(step_finished, (10, 20, 30))], stored=1)

    assert restore(begin_attempt(job_id=first.job.id)) == 20
    assert told(backends, first.job.id) == [(1, 10), (1, 20)]


def test_what_a_rewind_undid_is_told_and_is_in_no_curve(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    first = begin_attempt()
    save_checkpoint(first, 30)
    rewound = Rewound(from_step=40, to_step=10, passed_over_steps=30, number=1)
    deleted = CheckpointDeleted(step=20, path="checkpoints/step-00000020")
    before = [step_finished(step) for step in (10, 20, 30, 40)]
    again = [step_finished(step) for step in (20, 30, 40)]
    lost(first, [STARTED, *before, rewound, deleted, *again], stored=2)

    assert restore(begin_attempt(job_id=first.job.id)) == 30
    steps = [step for _, step in told(backends, first.job.id)]
    assert steps == [10, 20, 30, 40, 20, 30]
    assert loss_steps(backends, first.job.id) == [10, 20, 30]


def test_a_worker_that_dies_while_it_takes_over_loses_nothing(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    first = begin_attempt()
    save_checkpoint(first, 20)
    lost(first, [STARTED, *map(step_finished, (10, 20, 30))], stored=1)
    second = begin_attempt(job_id=first.job.id)
    restore(second)
    lost(second, [], stored=0)

    assert restore(begin_attempt(job_id=first.job.id)) == 20
    assert told(backends, first.job.id) == [(1, 10), (1, 20)]
