"""The errors that leave the trainer: its own, and those of the functions that a caller gave it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from safetensors import SafetensorError

from relora_core.errors import DiskError, OutOfMemory, TrainError, UnexpectedError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Callbacks:
    """The functions of a caller, and the first error that one of them raised."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def watch(
        self, name: str, function: Callable[Parameters, Result]
    ) -> Callable[Parameters, Result]:
        """Return the function; what it raises gets a note that names it, and is kept."""

        @wraps(function)
        def watched(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                error.add_note(f"raised by `{name}`, which the caller of the trainer gave it")
                self.error = self.error or error
                raise

        return watched


@contextmanager
def as_train_error() -> Iterator[Callbacks]:
    """Let no `Exception` out but a `TrainError`, whose `__cause__` is what was raised.

    An error of a watched callback leaves as it is, whatever the trainer made of it on the way.
    """
    callbacks = Callbacks()
    try:
        yield callbacks
    except BaseException as error:
        if callbacks.error is not None:
            raise callbacks.error  # noqa: B904 - its own cause stays
        if isinstance(error, TrainError) or not isinstance(error, Exception):
            raise
        raise _train_error(error) from error


def _train_error(error: Exception) -> TrainError:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return OutOfMemory(
            "the memory was not enough; lower training.micro_batch_size or set "
            f"training.gradient_checkpointing ({error})"
        )
    if isinstance(error, OSError | SafetensorError):
        return DiskError(
            "a file could not be read or written; look whether the disk is full or read-only "
            f"({error})"
        )
    return UnexpectedError(
        "the trainer met an error that it does not know; its log has the traceback "
        f"({type(error).__name__}: {error})"
    )
