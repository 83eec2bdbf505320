"""What no part of the trainer expects leaves a run as an error of ours, too."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from relora_core.errors import DiskError, OutOfMemory, TrainError, UnexpectedError


@contextmanager
def as_train_error() -> Iterator[None]:
    """Let no `Exception` out but a `TrainError`, whose `__cause__` is what was raised."""
    try:
        yield
    except TrainError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(
            "the memory was not enough; lower training.micro_batch_size or set "
            f"training.gradient_checkpointing ({error})"
        ) from error
    except OSError as error:
        raise DiskError(
            "a file could not be read or written; look whether the disk is full or read-only "
            f"({error})"
        ) from error
    except Exception as error:
        raise UnexpectedError(
            "the run met an error that the trainer does not know; its log has the traceback "
            f"({type(error).__name__}: {error})"
        ) from error
