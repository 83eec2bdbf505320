import pytest

from jobs.schemas.status import JobError
from relora_core.events import TrainFailed, TrainFinished, TrainStopped
from worker.supervision.outcome import (
    Failed,
    LastEvent,
    Outcome,
    Retryable,
    Stopped,
    Succeeded,
    TrainerExit,
    classify_exit,
)

FINISHED = TrainFinished(step=9, tokens_seen=9, restarts=0, skipped_steps=0, seconds=1)
STOPPED = TrainStopped(step=5)


def failed(*, retryable: bool) -> TrainFailed:
    return TrainFailed(code="data_error", message="no file", retryable=retryable)


@pytest.mark.parametrize(
    ("last", "exit_code", "outcome"),
    [
        (FINISHED, 0, Succeeded()),
        (FINISHED, 1, Succeeded()),  # the model is complete, whatever failed after it
        (STOPPED, 0, Stopped()),
        (failed(retryable=False), 1, Failed(JobError(code="data_error", message="no file"))),
        (failed(retryable=True), 1, Retryable(JobError(code="data_error", message="no file"))),
    ],
)
def test_the_last_event_decides(last: LastEvent, exit_code: int, outcome: Outcome) -> None:
    assert classify_exit(TrainerExit(exit_code, last, log_tail="")) == outcome


@pytest.mark.parametrize("last", [None, STOPPED])  # a rank died while the trainer stopped
def test_an_end_without_order_is_a_crash_and_shows_the_log(last: LastEvent | None) -> None:
    assert classify_exit(TrainerExit(1, last, log_tail="out of memory")) == Retryable(
        JobError(
            code="trainer_crashed",
            message="The trainer died (exit code 1). The end of its log:\nout of memory",
        )
    )


def test_a_signal_is_named() -> None:
    outcome = classify_exit(TrainerExit(-6, None, log_tail=""))

    assert isinstance(outcome, Retryable)
    assert outcome.error.message.startswith("The trainer died (signal 6, Aborted).")


def test_a_trainer_that_the_system_killed_probably_ran_out_of_memory() -> None:
    outcome = classify_exit(TrainerExit(-9, None, log_tail=""))

    assert isinstance(outcome, Retryable)
    assert "ran out of memory" in outcome.error.message
    assert "lower training.micro_batch_size" in outcome.error.message


def test_a_trainer_that_stalled_may_be_tried_again() -> None:
    outcome = classify_exit(TrainerExit(None, None, "step 7", silent_seconds=1800.0))
    assert isinstance(outcome, Retryable)
    assert outcome.error.code == "trainer_stalled"
    assert "no sign of life for 1800 s" in outcome.error.message
    assert "step 7" in outcome.error.message


def test_a_run_that_is_complete_has_succeeded_however_long_it_took_to_leave() -> None:
    finished = TrainerExit(None, FINISHED, "", silent_seconds=1800.0)
    assert classify_exit(finished) == Succeeded()
