"""Restores the checkpoints that a trainer resumes from into the workdir of an attempt.

The trainer resumes from the newest checkpoint that verifies. A run that may rewind needs one more
checkpoint if a stop caused the newest one, or if the newest one was saved while the run diverged.
That is the last scheduled checkpoint before it: a run that was never stopped would rewind to that
one. A run that exports its best checkpoint needs that one too.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jobs.schemas.job import Artifact
from jobs.store.artifacts import folder_of
from relora_core.checkpoint.manifest import verify
from relora_core.errors import CheckpointError
from relora_core.workdir.files import STATE
from worker.attempt.attempt import Attempt
from worker.attempt.workdir import Workdir
from worker.supervision.history import store_history
from worker.transfers.pending import link


@dataclass(frozen=True)
class Candidate:
    step: int
    fetch: Callable[[Path], object]  # into a folder that does not exist yet


def restore(attempt: Attempt) -> int | None:
    """Restore the newest checkpoint. Return its step, or None if there is no checkpoint.

    If a checkpoint is damaged, warn and restore the one before it.
    """
    _take_over_micro_batches(attempt.workdir)
    candidates = _candidates(attempt)
    newest = _bring_first(attempt, candidates)
    if newest is not None:
        for step in _needed_beside(attempt, newest):
            _bring_first(attempt, [each for each in candidates if each.step == step])
    return newest


def _take_over_micro_batches(workdir: Workdir) -> None:
    """Let the trainer know the sizes with which the last attempt on this node ran out of memory."""
    for earlier in workdir.earlier():
        if earlier.micro_batches.exists():
            shutil.copytree(earlier.micro_batches, workdir.micro_batches)
            return


def _bring_first(attempt: Attempt, candidates: list[Candidate]) -> int | None:
    """Restore the first candidate that verifies into the workdir. Return its step."""
    for candidate in candidates:
        folder = attempt.workdir.root / "restored"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            candidate.fetch(folder)
            verify(folder)
        except (CheckpointError, FileNotFoundError) as error:
            attempt.warn(
                "checkpoint_damaged",
                f"the checkpoint of step {candidate.step} is passed over: {error}",
            )
            continue
        folder.rename(attempt.workdir.checkpoint(candidate.step))
        return candidate.step
    return None


def _needed_beside(attempt: Attempt, newest: int) -> set[int]:
    """Return the steps of the checkpoints that the run needs beside the newest one.

    A rewind goes to the last multiple of `checkpoint.every` before the steps that were skipped in a
    row up to the newest checkpoint, whose state counts them.
    """
    spec = attempt.job.spec.train
    state = json.loads((attempt.workdir.checkpoint(newest) / STATE).read_text())
    counters: dict[str, Any] = state.get("counters", {})
    needed: set[int | None] = set()
    if spec.training.on_divergence == "rewind" and spec.training.max_rewinds:
        trouble: int = newest - counters.get("skipped_in_a_row", 0)
        needed.add(trouble // spec.checkpoint.every * spec.checkpoint.every)
    if spec.export.from_ == "best":
        needed.add(counters.get("best_step"))
    return {step for step in needed if step not in (None, newest)}


def _candidates(attempt: Attempt) -> list[Candidate]:
    """Return the candidates, newest first.

    For the same step, the copies on this node come before those in the storage.
    """
    found = [*_on_this_node(attempt), *_in_storage(attempt)]
    return sorted(found, key=lambda candidate: candidate.step, reverse=True)


def _on_this_node(attempt: Attempt) -> Iterator[Candidate]:
    for workdir in attempt.workdir.earlier():
        for step in workdir.checkpoint_steps():
            yield Candidate(step, partial(_take_over, attempt, workdir, step))


def _take_over(attempt: Attempt, earlier: Workdir, step: int, folder: Path) -> None:
    """Link the checkpoint of an earlier attempt into `folder`.

    The original stays, in case this attempt dies before it has verified the checkpoint. The events
    that led to the checkpoint are stored first, because nothing looks for them later.
    """
    store_history(attempt, earlier, step)
    shutil.copytree(earlier.checkpoint(step), folder, copy_function=link)


def _in_storage(attempt: Attempt) -> Iterator[Candidate]:
    checkpoints: dict[int, list[Artifact]] = {}
    for artifact in attempt.retry_while_leased(
        partial(attempt.backends.store.artifacts, attempt.job.id)
    ):
        if artifact.kind == "checkpoint" and artifact.step is not None:
            checkpoints.setdefault(artifact.step, []).append(artifact)
    for step, files in checkpoints.items():
        yield Candidate(step, partial(_download, attempt, files))


def _download(attempt: Attempt, files: list[Artifact], folder: Path) -> None:
    for file in files:
        name = file.path.removeprefix(folder_of(file) + "/")
        attempt.retry_while_leased(partial(attempt.storage.download, file.key, folder / name))
