"""What a trainer's end means for its job. What a person asked for, the store weighs in."""

import signal
from dataclasses import dataclass
from typing import assert_never

from jobs.schemas.status import JobError
from relora_core.events import TrainFailed, TrainFinished, TrainStopped

LastEvent = TrainFinished | TrainStopped | TrainFailed


@dataclass(frozen=True)
class TrainerExit:
    """How a trainer ended; `last` is None when it had no time to say why."""

    exit_code: int | None  # None: it was ended
    last: LastEvent | None
    log_tail: str
    silent_seconds: float | None = None  # for which it gave no sign of life before


@dataclass(frozen=True)
class Succeeded:
    """The run is complete."""


@dataclass(frozen=True)
class Stopped:
    """The run was asked to stop, and saved."""


@dataclass(frozen=True)
class Failed:
    """The run would fail again."""

    error: JobError


@dataclass(frozen=True)
class Retryable:
    """Something went wrong that another attempt may not meet."""

    error: JobError


@dataclass(frozen=True)
class NodeFault:
    """The node was to blame, and not the job."""

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
        case TrainStopped() | None:  # stopped, but not every rank of it left in order
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
