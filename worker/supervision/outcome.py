"""The outcome of an attempt, from the way its trainer ended.

The store adds what the user asked for, such as a cancellation.
"""

import signal
from dataclasses import dataclass
from typing import assert_never

from jobs.schemas.status import JobError
from relora_core.events import TrainFailed, TrainFinished, TrainStopped

LastEvent = TrainFinished | TrainStopped | TrainFailed


@dataclass(frozen=True)
class TrainerExit:
    """The way a trainer ended. `last` is None if the trainer did not report its end."""

    exit_code: int | None  # None: the worker ended it
    last: LastEvent | None
    log_tail: str
    silent_seconds: float | None = None  # without a sign of life, if it stalled


@dataclass(frozen=True)
class Succeeded:
    """The run is complete."""


@dataclass(frozen=True)
class Stopped:
    """The run saved a checkpoint and stopped, as it was asked to."""


@dataclass(frozen=True)
class Failed:
    """The run failed, and another attempt would fail too."""

    error: JobError


@dataclass(frozen=True)
class Retryable:
    """The run failed, but another attempt may succeed."""

    error: JobError


@dataclass(frozen=True)
class NodeFault:
    """The node caused the failure, not the job."""

    error: JobError


Outcome = Succeeded | Stopped | Failed | Retryable | NodeFault


def classify_exit(trainer_exit: TrainerExit) -> Outcome:
    match trainer_exit.last:
        case TrainFinished():
            return Succeeded()
        case TrainStopped() if trainer_exit.exit_code == 0:
            return Stopped()
        case TrainFailed(code=code, message=message, retryable=retryable):
            error = JobError(code=code, message=message)
            return Retryable(error) if retryable else Failed(error)
        case TrainStopped() | None if trainer_exit.silent_seconds is not None:
            return Retryable(_stall(trainer_exit, trainer_exit.silent_seconds))
        case TrainStopped() | None:  # some rank crashed while it stopped
            return Retryable(_crash(trainer_exit))
        case _:
            assert_never(trainer_exit.last)


def _crash(trainer_exit: TrainerExit) -> JobError:
    how = _how(trainer_exit.exit_code)
    if trainer_exit.exit_code == -signal.SIGKILL:
        how += (
            "; killed, most likely because the machine or its container ran out of memory: give it "
            "more, lower training.micro_batch_size or set training.gradient_checkpointing"
        )
    message = f"The trainer died ({how}). The end of its log:\n{trainer_exit.log_tail}"
    return JobError(code="trainer_crashed", message=message)


def _stall(trainer_exit: TrainerExit, seconds: float) -> JobError:
    message = (
        f"The trainer gave no sign of life for {seconds:g} s and was ended; retries.stalled_after "
        f"says how long it may. The end of its log:\n{trainer_exit.log_tail}"
    )
    return JobError(code="trainer_stalled", message=message)


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended by the worker"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    return f"signal {-exit_code}, {signal.strsignal(-exit_code)}"
