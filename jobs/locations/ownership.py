"""Whose a place is that a spec names for its files: a mark says it, so that no job clears or
replaces what another has there. A place in the service's storage is its job's by its name.
"""

from collections.abc import Callable

from jobs.locations.folders import JOB_FOLDERS
from jobs.storage import Storage

MARK = "relora-job.txt"  # it holds the job's id


def owner_of(storage: Storage) -> str | None:
    try:
        return b"".join(storage.read(MARK)).decode(errors="replace").strip()
    except FileNotFoundError:
        return None


def take(storage: Storage, job_id: str, *, wrote_before: Callable[[], bool]) -> bool:
    """Make the place the job's if it is nobody's; whether it is the job's now.

    Without a mark it is nobody's if nothing is where jobs write or, as marks are younger than
    places, if the job `wrote_before`.
    """
    if (owner := owner_of(storage)) is not None:
        return owner == job_id
    if _has_files(storage) and not wrote_before():
        return False
    return storage.create(MARK, f"{job_id}\n".encode()) or owner_of(storage) == job_id


def give_up(storage: Storage, job_id: str) -> None:
    """Take the job's mark away, after its files."""
    if owner_of(storage) == job_id:
        storage.delete(MARK)


def _has_files(storage: Storage) -> bool:
    return any(next(iter(storage.list(folder)), None) is not None for folder in JOB_FOLDERS)
