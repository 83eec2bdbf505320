"""What a trainer's end means for its job. What a person asked for, the store weighs in."""

import signal
from dataclasses import dataclass
from typing import assert_never

from jobs.schemas.status import JobError
from relora_core.events import TrainFailed, TrainFinished, TrainStopped

LastEvent = TrainFinished | TrainStopped | TrainFailed


@dataclass(frozen=True)
class Ending:
    """How a trainer ended; `last` is None when it had no time to say why."""

    exit_code: int | None  # None: it was ended
    last: LastEvent | None
    last_words: str
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
class Broken:
    """Something went wrong that another attempt may not meet."""

    error: JobError


@dataclass(frozen=True)
class NodeFault:
    """The node was to blame, and not the job."""

    error: JobError


Verdict = Succeeded | Stopped | Failed | Broken | NodeFault


def judge(ending: Ending) -> Verdict:
    match ending.last:
        case TrainFinished():
            return Succeeded()
        case TrainStopped() if ending.exit_code == 0:
            return Stopped()
        case TrainFailed(code=code, message=message, retryable=retryable):
            error = JobError(code=code, message=message)
            return Broken(error) if retryable else Failed(error)
        case TrainStopped() | None if ending.silent_seconds is not None:
            return Broken(_stall(ending, ending.silent_seconds))
        case TrainStopped() | None:  # stopped, but not every rank of it left in order
            return Broken(_crash(ending))
        case _:
            assert_never(ending.last)


def _crash(ending: Ending) -> JobError:
    how = _how(ending.exit_code)
    if ending.exit_code == -signal.SIGKILL:
        how += (
            "; killed, most likely because the machine or its container ran out of memory: give it "
            "more, lower training.micro_batch_size or set training.gradient_checkpointing"
        )
    message = f"The trainer died ({how}). Its last words:\n{ending.last_words}"
    return JobError(code="trainer_crashed", message=message)


def _stall(ending: Ending, seconds: float) -> JobError:
    message = (
        f"The trainer gave no sign of life for {seconds:g} s and was ended; retries.stalled_after "
        f"says how long it may. Its last words:\n{ending.last_words}"
    )
    return JobError(code="trainer_stalled", message=message)


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended by the worker"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    return f"signal {-exit_code}, {signal.strsignal(-exit_code)}"
