"""The names of the files and folders of a workdir. Torch-free.

The trainer, its supervisor and the service know each other's files by these names alone. The
folders that a run fills have the same names in the storage of its job.
"""

import re
from pathlib import Path

EVENTS = "events.jsonl"
STOP = "stop"  # created in the workdir, it asks the run to save and leave
PULSE = ".pulse"
SPEC = "spec.json"  # in each checkpoint, too
STATE = "state.json"  # in each checkpoint: its counters, and all else that is not a tensor
STAGED = "staged.json"  # the local copies of the spec's remote sources

CHECKPOINTS = "checkpoints"
MERGED = "merged"
FINAL = "final"
REPORTS = "reports"
LOGS = "logs"

STEP_NAME = r"step-[0-9]{8,}"


def step_name(step: int) -> str:
    """Name a folder after a step: `step-00001000`."""
    return f"step-{step:08d}"


def checkpoint_path(step: int) -> str:
    """Where a checkpoint is, below a workdir and below a job's place in the storage."""
    return f"{CHECKPOINTS}/{step_name(step)}"


def merged_path(step: int) -> str:
    """Where the merged model of a step is, as `checkpoint_path`."""
    return f"{MERGED}/{step_name(step)}"


def attempt_name(attempt: int) -> str:
    """Name what belongs to an attempt: its workdir and its log."""
    return f"attempt-{attempt}"


def log_path(attempt: int) -> str:
    """Where the log of an attempt is, as `checkpoint_path`."""
    return f"{LOGS}/{attempt_name(attempt)}.log"


def step_folders(parent: Path) -> dict[int, Path]:
    """List the folders of steps in `parent`, oldest first; their content is not looked at.

    Other names, such as that of a copy that a person made, are left out.
    """
    named = [folder for folder in parent.glob("step-*") if re.fullmatch(STEP_NAME, folder.name)]
    return dict(sorted((int(folder.name.removeprefix("step-")), folder) for folder in named))


def unfinished_step_folders(parent: Path) -> list[Path]:
    """List what a process that was killed left of folders that it wrote or deleted."""
    return list(parent.glob(".step-*"))
