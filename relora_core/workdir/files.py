"""The names of the files and folders of a workdir. No torch needed.

The trainer, its supervisor and the service share files only by these names. The folders of a run
have the same names in the storage of its job.
"""

import re
from pathlib import Path

EVENTS = "events.jsonl"
STOP = "stop"  # if this file exists in the workdir, the run saves a checkpoint and stops
PROFILE = "profile-steps"  # the number of steps to profile; the run deletes it with the last one
MOST_PROFILED_STEPS = 50
HEARTBEAT = ".heartbeat"
SPEC = "spec.json"  # also in each checkpoint
STATE = "state.json"  # in each checkpoint: its counters, and all other state except tensors
STAGED = "staged.json"  # the local copies of the spec's remote sources
MICRO_BATCHES = "micro_batches"  # the sizes with which an attempt ran out of memory

SAMPLE_REQUEST = "request.json"  # in a folder for one sample
SAMPLE_ANSWER = "answer.jsonl"

CHECKPOINTS = "checkpoints"
MERGED = "merged"
FINAL = "final"
REPORTS = "reports"
PROFILES = "profiles"
LOGS = "logs"

STEP_NAME = r"step-[0-9]{8,}"


def step_name(step: int) -> str:
    """Return the name of a step's folder: `step-00001000`."""
    return f"step-{step:08d}"


def checkpoint_path(step: int) -> str:
    """Return the path of a checkpoint, relative to a workdir or to a job's folder in storage."""
    return f"{CHECKPOINTS}/{step_name(step)}"


def merged_path(step: int) -> str:
    """Return the path of the merged model of a step, relative as in `checkpoint_path`."""
    return f"{MERGED}/{step_name(step)}"


def profile_path(step: int) -> str:
    """Return the path of the profile that begins at a step, relative as in `checkpoint_path`."""
    return f"{PROFILES}/{step_name(step)}"


def attempt_name(attempt: int) -> str:
    """Return the name of an attempt's workdir and log."""
    return f"attempt-{attempt}"


def log_path(attempt: int) -> str:
    """Return the path of an attempt's log, relative as in `checkpoint_path`."""
    return f"{LOGS}/{attempt_name(attempt)}.log"


def step_folders(parent: Path) -> dict[int, Path]:
    """Return the folders of steps in `parent`, the oldest first. Their content is not checked.

    Other folders are ignored, such as a copy that a person made.
    """
    named = [folder for folder in parent.glob("step-*") if re.fullmatch(STEP_NAME, folder.name)]
    return dict(sorted((int(folder.name.removeprefix("step-")), folder) for folder in named))


def unfinished_step_folders(parent: Path) -> list[Path]:
    """Return the incomplete folders that a killed process was writing or deleting."""
    return list(parent.glob(".step-*"))
