"""Why a run cannot start or go on.

TrainError
├── DataError        the data cannot be used as the spec says
│   └── DataUnavailable   not now: the network or the far side is down
├── ModelError       the model cannot be built, or the method does not fit it
├── CheckpointError  a checkpoint does not verify or belongs to another run
├── WorkdirInUse     another process trains in the workdir
├── ReplicasDiffer   ranks that should hold the same weights do not
├── ExportError      the merged model cannot be written there
├── GenerationError  the model cannot sample what is asked
├── Diverged         too many non-finite steps in a row, and no going back
└── UnexpectedError  anything else; `__cause__` is what was raised
    ├── DiskError        a file cannot be read or written
    └── OutOfMemory      of the GPU or of the process
"""

from typing import ClassVar


def printable(text: str) -> str:
    """Escape what is no Unicode, such as parts of a file name in an older encoding."""
    return text.encode(errors="backslashreplace").decode()


class TrainError(Exception):
    """A run's end that a person can understand; `code` is stable, the message says what to do."""

    code: ClassVar[str] = "train_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DataError(TrainError):
    code = "data_error"


class DataUnavailable(DataError):
    code = "data_unavailable"
    retryable = True


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
