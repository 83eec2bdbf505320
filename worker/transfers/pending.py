"""Checkpoints on their way to the storage.

A trainer deletes its older checkpoints as `checkpoint.keep_last` says, whether they were uploaded
or not. So each is kept here, as links to its files, from the moment it is saved until its upload is
over or so many newer ones wait. The links cost no space while the trainer has the checkpoint, too.
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
    """What is to be done next: first the stored checkpoints after a step go, then one comes."""

    undone_after: int | None
    newest: Pending | None


class PendingCheckpoints:
    """Used by the thread that hears of checkpoints and by the one that uploads them."""

    def __init__(self, workdir: Workdir, spec: CheckpointSpec) -> None:
        self._workdir = workdir
        self._spec = spec
        self._waiting: dict[int, Pending] = {}
        self._undone_after: int | None = None
        self._count = 0
        self._lock = Lock()

    def add(self, step: int) -> list[int]:
        """Keep the checkpoint of a step; return the steps that are not uploaded any more for it.

        Raises `FileNotFoundError` if the trainer has deleted it already, and other `OSError`s.
        """
        self._count += 1
        folder = self._workdir.pending / str(self._count)
        keep(self._workdir.checkpoint(step), folder)
        with self._lock:
            self._drop([step])
            self._waiting[step] = Pending(step, folder)
            passed_over = self._spec.expired(sorted(self._waiting))
            self._drop(passed_over)
        return passed_over

    def undo_after(self, step: int) -> None:
        """A rewind left the later checkpoints behind, those that wait and those that are stored."""
        with self._lock:
            self._drop([other for other in self._waiting if other > step])
            self._undone_after = (
                step if self._undone_after is None else min(step, self._undone_after)
            )

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """The newest checkpoint that waits is kept to the end of the block."""
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
    """Link all files of a folder that the trainer may replace meanwhile: those of one version.

    Raises `FileNotFoundError` if it is not there, and other `OSError`s.
    """
    try:
        while not _is_linked(folder, kept):
            shutil.rmtree(kept, ignore_errors=True)
    except OSError:
        shutil.rmtree(kept, ignore_errors=True)
        raise


def _is_linked(folder: Path, kept: Path) -> bool:
    """False if another folder took its place before all files were linked."""
    version = _version(folder)
    try:
        shutil.copytree(folder, kept, copy_function=link)
    except OSError:
        if _version(folder) == version:
            raise
    return _version(folder) == version


def _version(folder: Path) -> tuple[int, int]:
    """With the time, as a file system gives the number of a deleted folder to a later one."""
    found = folder.stat()
    return found.st_ino, found.st_mtime_ns


def link(source: str, target: str) -> None:
    """A file system that has no links gets a copy."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
