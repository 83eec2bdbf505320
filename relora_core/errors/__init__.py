"""The errors with which a run cannot start or continue.

TrainError
├── DataError        the data cannot be used as the spec says
│   └── DataUnavailable   not now: the network or the server is down
├── DeviceError      there is a GPU, and torch cannot use it
├── ModelError       the model cannot be built, or the method does not fit it
├── CheckpointError  a checkpoint does not verify or belongs to another run
├── WorkdirInUse     another process trains in the workdir
├── ReplicasDiffer   ranks that should hold the same weights do not
├── ExportError      the merged model cannot be written there
├── GenerationError  the model cannot sample what is asked
├── Diverged         too many non-finite steps in a row, and no rewind is possible
└── UnexpectedError  any other error; `__cause__` is the original error
    ├── DiskError        a file cannot be read or written
    └── OutOfMemory      the GPU or the process ran out of memory
"""

from typing import ClassVar


def printable(text: str) -> str:
    """Escape characters that are not valid Unicode, such as in file names of an older encoding."""
    return text.encode(errors="backslashreplace").decode()


class TrainError(Exception):
    """An error that ends a run. `code` is stable, and the message says what to do."""

    code: ClassVar[str] = "train_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DataError(TrainError):
    code = "data_error"


class DataUnavailable(DataError):
    code = "data_unavailable"
    retryable = True


class DeviceError(TrainError):
    code = "device_error"
    retryable = True  # another worker may have a better driver


class ModelError(TrainError):
    code = "model_error"


class CheckpointError(TrainError):
    code = "checkpoint_error"


class WorkdirInUse(TrainError):
    code = "workdir_in_use"


class ReplicasDiffer(TrainError):
    code = "replicas_differ"


class ExportError(TrainError):
    code = "export_error"


class GenerationError(TrainError):
    code = "generation_error"


class Diverged(TrainError):
    code = "diverged"


class UnexpectedError(TrainError):
    code = "unexpected_error"
    retryable = True


class DiskError(UnexpectedError):
    code = "disk_error"


class OutOfMemory(UnexpectedError):
    code = "out_of_memory"
