"""Run the trainer as a process: event log, stop requests, heartbeat and exit codes."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread
from types import FrameType
from typing import NoReturn

from relora_core.data.cache import default_cache
from relora_core.errors import TrainError, UnexpectedError, WorkdirInUse
from relora_core.errors.unexpected import as_train_error
from relora_core.events import Emit, TrainFailed
from relora_core.export.from_checkpoint import export_checkpoint
from relora_core.generate.answers import Answers
from relora_core.spec import TrainSpec
from relora_core.tasks import build_task
from relora_core.training.train import train
from relora_core.workdir.event_log import log_event, run_log
from relora_core.workdir.files import HEARTBEAT, STOP
from relora_core.workdir.heartbeat import HeartbeatFile
from relora_core.workdir.lock import only_trainer

logger = logging.getLogger("relora_core")

_SUPERVISOR_LOST = 3


def run(
    spec: TrainSpec,
    workdir: Path,
    *,
    cache: Path | None,
    staged: Mapping[str, str],
    supervised: bool,
) -> int:
    """Train and write events to `workdir/events.jsonl`. Return the exit code."""
    if supervised:
        _watch_parent()
    is_main = os.environ.get("RANK", "0") == "0"
    try:
        with only_trainer(workdir, is_main=is_main):  # before any file of the workdir is changed
            if not supervised:
                (workdir / STOP).unlink(missing_ok=True)  # it was for the previous run
            with (
                run_log(workdir, is_main=is_main) as emit,
                _heartbeat(workdir, is_main=is_main) as heartbeat,
            ):
                stop_requested = _stop_requests(workdir, heartbeat)
                return _train(spec, workdir, emit, stop_requested, cache=cache, staged=staged)
    except WorkdirInUse as error:
        logger.error("%s", error)
        return 1
    except OSError as error:  # events could not be written
        logger.error("cannot write into %s: %s", workdir, error)
        return 1


def _train(
    spec: TrainSpec,
    workdir: Path,
    emit: Emit,
    stop_requested: Callable[[], bool],
    *,
    cache: Path | None,
    staged: Mapping[str, str],
) -> int:
    try:
        with as_train_error():  # our own `emit` may fail too, for example on a full disk
            train(spec, workdir, emit, stop_requested, cache=cache, staged=staged)
    except TrainError as error:
        if isinstance(error, UnexpectedError):
            _tell(error)
        if not _may_be_an_echo(error):
            emit(TrainFailed(code=error.code, message=str(error), retryable=error.retryable))
        return 1
    return 0


def _tell(error: TrainError) -> None:
    """Log an error. If it is unexpected, log its traceback too."""
    cause = error.__cause__ if isinstance(error, UnexpectedError) else None
    logger.error("%s", error, exc_info=cause)


def _may_be_an_echo(error: TrainError) -> bool:
    """Return whether the error may be a consequence of another rank's failure.

    The log has the reason.
    """
    return type(error) is UnexpectedError and int(os.environ.get("WORLD_SIZE", "1")) > 1


def prepare_data(spec: TrainSpec, *, cache: Path | None) -> int:
    """Prepare the data of `spec` in the cache, so that its run starts at once.

    Return the exit code. No GPU is used.
    """
    folder = cache or default_cache()
    try:
        with as_train_error():
            task = build_task(spec, cache=folder, emit=log_event)
    except TrainError as error:
        _tell(error)
        return 1
    logger.info(
        "ready in %s: %s examples to train on, %s to validate on; the run finds them with "
        "--cache %s",
        *(folder, f"{len(task.train):,}", f"{sum(map(len, task.validation)):,}", folder),
    )
    return 0


def _heartbeat(workdir: Path, *, is_main: bool) -> HeartbeatFile:
    """Return the heartbeat. Only the main rank's counts, because it waits for the others."""
    return HeartbeatFile(workdir / HEARTBEAT if is_main else Path(os.devnull))


def export_model(
    workdir: Path, folder: Path, *, step: int | None, dtype: str | None, supervised: bool = False
) -> int:
    """Write the merged model of a checkpoint. Return the exit code."""
    if supervised:
        _watch_parent()
    try:
        exported = export_checkpoint(workdir, folder, step=step, dtype=dtype)
    except TrainError as error:
        _tell(error)
        return 1
    logger.info("%s", exported)
    return 0


def answer_samples(*, device: str) -> NoReturn:
    """Answer requests for text until standard input closes.

    Each line of standard input is a folder with a request (`relora_core.generate.answers`).
    """
    folders: SimpleQueue[Path] = SimpleQueue()
    Thread(target=_read_folders, args=(folders,), daemon=True).start()
    answers = Answers(device=device)
    while True:
        folder = folders.get()
        try:
            answers.answer(folder)
        except TrainError as error:
            _tell(error)


def _read_folders(folders: SimpleQueue[Path]) -> None:
    """Pass on the folders, and exit when standard input closes, also while a text is sampled."""
    for line in sys.stdin:
        folders.put(Path(line.rstrip("\n")))
    os._exit(_SUPERVISOR_LOST)


def _watch_parent() -> None:
    Thread(target=_exit_when_parent_ends, daemon=True).start()


def _stop_requests(workdir: Path, heartbeat: HeartbeatFile) -> Callable[[], bool]:
    """Return a function that says whether a signal came or the stop file exists.

    The trainer calls it before each step.
    """
    asked = Flag()

    def ask(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler
        asked.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    stop_file = workdir / STOP

    def stop_requested() -> bool:
        heartbeat.beat()
        return asked.is_set() or stop_file.exists()

    return stop_requested


def _exit_when_parent_ends() -> None:
    """Exit when the supervisor ends, because another worker may have the lease by then."""
    while os.read(sys.stdin.fileno(), 1):  # not `sys.stdin.read`: its lock aborts a normal exit
        pass
    os._exit(_SUPERVISOR_LOST)
