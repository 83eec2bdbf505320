"""Checkpoints in the trainer's format, written without a trainer."""

from jobs.backends import Backends
from jobs.schemas.events import JobWarned
from relora_core.checkpoint.manifest import write_manifest
from relora_core.events import CheckpointSaved
from relora_core.workdir.files import checkpoint_path
from worker.attempt.attempt import Attempt


def save_checkpoint(
    attempt: Attempt, step: int, content: str = "weights", *, state: str = "{}"
) -> CheckpointSaved:
    folder = attempt.workdir.checkpoint(step)
    folder.mkdir()
    (folder / "model-00001.safetensors").write_text(content)
    (folder / "state.json").write_text(state)
    size = write_manifest(folder, step).bytes
    return CheckpointSaved(step=step, path=checkpoint_path(step), bytes=size, pause_seconds=0)


def warnings(backends: Backends, job_id: str) -> list[str]:
    """Return the codes of the job's warnings."""
    events = backends.store.events(job_id)
    return [event.code for event in events if isinstance(event, JobWarned)]
