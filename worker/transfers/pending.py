"""Checkpoints that wait for their upload to the storage.

A trainer deletes its older checkpoints according to `checkpoint.keep_last`, even if they are not
uploaded yet. Therefore each checkpoint is kept here as hard links to its files, from the moment it
is saved. It is dropped when its upload has ended, or when so many newer checkpoints wait that
`CheckpointSpec.expired` drops it. The links use no disk space while the trainer still has the
checkpoint.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from relora_core.spec import CheckpointSpec
from worker.attempt.workdir import Workdir


@dataclass(frozen=True)
class Pending:
    step: int
    folder: Path


@dataclass(frozen=True)
class Turn:
    """The next work of the upload thread.

    First delete the stored checkpoints after the step `undone_after`, then upload `newest`.
    """

    undone_after: int | None
    newest: Pending | None


class PendingCheckpoints:
    """The waiting checkpoints of an attempt.

    Two threads use it: one adds the checkpoints, the other uploads them.
    """

    def __init__(self, workdir: Workdir, spec: CheckpointSpec) -> None:
        self._workdir = workdir
        self._spec = spec
        self._waiting: dict[int, Pending] = {}
        self._undone_after: int | None = None
        self._count = 0
        self.best: int | None = None  # the step of the best checkpoint, as the newest one says
        self._lock = Lock()

    def add(self, step: int, *, best: int | None) -> list[int]:
        """Keep the checkpoint of a step. Return the older steps that it replaces in the queue.

        The replaced checkpoints are not uploaded. Raise `FileNotFoundError` if the trainer has
        already deleted the checkpoint, and other `OSError`s.
        """
        self._count += 1
        folder = self._workdir.pending / str(self._count)
        keep(self._workdir.checkpoint(step), folder)
        with self._lock:
            self._drop([step])
            self._waiting[step] = Pending(step, folder)
            self.best = best
            passed_over = self._spec.expired(sorted(self._waiting), best=best)
            self._drop(passed_over)
        return passed_over

    def undo_after(self, step: int) -> None:
        """Drop the waiting checkpoints after `step`, because the run was rewound to it.

        The next turn also deletes those that are already in the storage.
        """
        with self._lock:
            self._drop([other for other in self._waiting if other > step])
            self._undone_after = (
                step if self._undone_after is None else min(step, self._undone_after)
            )

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Yield the next work. Delete the kept files of its checkpoint at the end of the block."""
        with self._lock:
            newest = self._waiting.pop(max(self._waiting)) if self._waiting else None
            turn, self._undone_after = Turn(self._undone_after, newest), None
        try:
            yield turn
        finally:
            if newest is not None:
                shutil.rmtree(newest.folder, ignore_errors=True)

    def _drop(self, steps: list[int]) -> None:
        for step in steps:
            if pending := self._waiting.pop(step, None):
                shutil.rmtree(pending.folder, ignore_errors=True)


def keep(folder: Path, kept: Path) -> None:
    """Link all files of a folder, all from one version of it.

    The trainer may replace the folder at the same time. Then link the new one instead. Raise
    `FileNotFoundError` if the folder does not exist, and other `OSError`s.
    """
    try:
        while not _is_linked(folder, kept):
            shutil.rmtree(kept, ignore_errors=True)
    except OSError:
        shutil.rmtree(kept, ignore_errors=True)
        raise


def _is_linked(folder: Path, kept: Path) -> bool:
    """Link all files. Return False if the folder was replaced before that was done."""
    version = _version(folder)
    try:
        shutil.copytree(folder, kept, copy_function=link)
    except OSError:
        if _version(folder) == version:
            raise
    return _version(folder) == version


def _version(folder: Path) -> tuple[int, int]:
    """Return the inode number and the modification time of a folder.

    The number alone is not enough: a file system reuses the number of a deleted folder.
    """
    found = folder.stat()
    return found.st_ino, found.st_mtime_ns


def link(source: str, target: str) -> None:
    """Make a hard link, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
