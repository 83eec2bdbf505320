"""The progress of a run, computed from its events."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from jobs.schemas.job import Progress
from jobs.schemas.progress import advance
from jobs.schemas.status import JobStatus
from relora_core.events import (
    AnyTrainEvent,
    DataProgress,
    Evaluated,
    Merged,
    PhaseStarted,
    RestartReport,
    Rewound,
    SetEvaluated,
    StepFinished,
    TrainFinished,
    TrainStarted,
    Warned,
)
from tests.fixtures import reports
from tests.fixtures.reports import restart_reported

START = Progress(status=JobStatus.RUNNING, total_steps=100, updated_at=datetime.now(UTC))


def test_nothing_told_changes_nothing() -> None:
    assert advance(START, []) == START
    assert advance(START, [Warned(code="code", message="message")]) == START


def test_data_is_told_of_until_the_run_itself_starts() -> None:
    progress = advance(START, [DataProgress(split="train", making="tokenizer", documents=1200)])
    assert progress.preparing == "train data, reading for the tokenizer: 1,200 documents"
    started = TrainStarted(
        step=0, total_steps=100, parameters=1, tokens_per_step=1, world_size=1, device="cpu"
    )
    assert advance(progress, [started]).preparing is None


def test_a_step_says_how_often_the_data_was_read(
    step_finished: Callable[..., StepFinished],
) -> None:
    assert advance(START, [step_finished(10, epoch=1.5)]).epoch == 1.5


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            PhaseStarted(step=25, phase="low_rank", trainable_parameters=1, frozen_parameters=2),
            {"phase": "low_rank"},
        ),
        (
            Merged(step=50, restart=2, layers=4, update_norm=1, weight_norm=1, residual_norm=0),
            {"restarts": 2},
        ),
        (
            Evaluated(step=50, loss=3.0, perplexity=20.0, tokens=1000),
            {"validation_perplexity": 20.0, "validation_step": 50},
        ),
        (
            Evaluated(step=50, loss=3.0, accuracy=0.5, images=1000),
            {"validation_accuracy": 0.5, "validation_step": 50},
        ),
        (
            Evaluated(step=0, loss=800.0, perplexity=math.inf, tokens=1000),
            {"validation_perplexity": None, "validation_step": 0},
        ),
        (
            SetEvaluated(set="web", step=50, loss=3.0, perplexity=20.0, tokens=1000),
            {"validation_losses": {"web": 3.0}},
        ),
        (
            Rewound(from_step=60, to_step=50, passed_over_steps=10, number=1),
            {"step": 50},
        ),
        (
            TrainFinished(step=100, tokens_seen=100_000, restarts=3, skipped_steps=0, seconds=9),
            {"step": 100, "tokens_seen": 100_000, "restarts": 3, "eta_seconds": 0.0},
        ),
    ],
)
def test_an_event_tells_its_part(event: AnyTrainEvent, told: dict[str, object]) -> None:
    before = START.model_dump()
    assert advance(START, [event]).model_dump() == {**before, **told}


def test_each_validation_set_keeps_its_last_loss() -> None:
    first = advance(START, [SetEvaluated(set="web", step=1, loss=9.0)])
    later = [SetEvaluated(set=name, step=2, loss=loss) for name, loss in (("a", 3.0), ("b", 2.0))]
    assert advance(first, later).validation_losses == {"web": 9.0, "a": 3.0, "b": 2.0}


def test_the_last_report_of_a_restart_is_kept_without_what_only_events_have() -> None:
    progress = advance(START, [restart_reported(1), restart_reported(2, steps_to_regain=None)])
    report = progress.restart_report
    assert report is not None
    assert (report.restart, report.steps_to_regain, report.angle) == (2, None, 75.0)
    told = progress.model_dump(mode="json")["restart_report"]
    assert told.keys() == RestartReport.model_fields.keys()
    assert Progress.model_validate_json(progress.model_dump_json()) == progress


def test_what_a_step_tells_of_the_machine_is_the_last_that_is_known() -> None:
    step = reports.step_finished(10, mfu=0.41, memory_allocated_bytes=7 << 30)
    progress = advance(START, [step])
    assert (progress.mfu, progress.memory_allocated_bytes) == (0.41, 7 << 30)
    assert progress.gpu_utilization is None


def test_the_last_of_many_wins(step_finished: Callable[[int], StepFinished]) -> None:
    progress = advance(START, [step_finished(10), step_finished(20)])
    assert (progress.step, progress.eta_seconds) == (20, 160.0)


def test_without_a_pace_there_is_no_time_left(
    step_finished: Callable[[int], StepFinished],
) -> None:
    for pace in (0.0, math.nan):
        event = step_finished(10).model_copy(update={"tokens_per_second": pace})
        assert advance(START, [event]).eta_seconds is None
