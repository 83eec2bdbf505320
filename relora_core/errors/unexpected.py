"""Control which errors leave the trainer: its own, and those of the caller's callbacks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from safetensors import SafetensorError

from relora_core.errors import DiskError, OutOfMemory, TrainError, UnexpectedError
from relora_core.errors.out_of_memory import is_out_of_memory

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Callbacks:
    """The callbacks of a caller, and the first error that one of them raised."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def watch(
        self, name: str, function: Callable[Parameters, Result]
    ) -> Callable[Parameters, Result]:
        """Wrap a callback. Add a note with its name to the errors it raises, and keep the first."""

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
    """Raise every `Exception` as a `TrainError`, whose `__cause__` is the original error.

    An error of a watched callback is raised unchanged, even if the trainer wrapped it meanwhile.
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
    if is_out_of_memory(error):
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
