"""The checkpoints that a trainer goes on from, brought into an attempt's workdir.

That is the newest that verifies. A run that may rewind needs one more where a stop made the newest,
or one that was saved amid trouble: the schedule's last from before, where a run that was never
stopped would go back to.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
    """Return the step of the checkpoint that the trainer will find, None if there is none.

    A damaged one is passed over for the one before, with a warning.
    """
    candidates = _candidates(attempt)
    newest = _bring_first(attempt, candidates)
    training = attempt.job.spec.train.training
    if newest is not None and training.on_divergence == "rewind" and training.max_rewinds:
        scheduled = _rewind_target(attempt, newest)
        if scheduled != newest:
            _bring_first(attempt, [each for each in candidates if each.step == scheduled])
    return newest


def _bring_first(attempt: Attempt, candidates: list[Candidate]) -> int | None:
    """Return the step of the first that verifies, which is in the workdir now."""
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


def _rewind_target(attempt: Attempt, newest: int) -> int:
    """Of trouble that goes on at the newest checkpoint, or begins soon after it."""
    state = json.loads((attempt.workdir.checkpoint(newest) / STATE).read_text())
    trouble: int = newest - state.get("counters", {}).get("skipped_in_a_row", 0)
    every: int = attempt.job.spec.checkpoint.every
    return trouble // every * every


def _candidates(attempt: Attempt) -> list[Candidate]:
    """Newest first; of the same step those on this node before those in the storage."""
    found = [*_on_this_node(attempt), *_in_storage(attempt)]
    return sorted(found, key=lambda candidate: candidate.step, reverse=True)


def _on_this_node(attempt: Attempt) -> Iterator[Candidate]:
    for workdir in attempt.workdir.earlier():
        for step in workdir.checkpoint_steps():
            yield Candidate(step, partial(_take_over, attempt, workdir, step))


def _take_over(attempt: Attempt, earlier: Workdir, step: int, folder: Path) -> None:
    """As links, so that it is still there if this attempt dies before it has verified it.

    What led to the checkpoint is stored first: where it lies next, nobody looks for that.
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
