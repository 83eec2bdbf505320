"""A marker file says which job owns an output location that a spec names.

So no job clears or replaces the files of another. A location in the service's own storage belongs
to the job that it is named after.
"""

from collections.abc import Callable

from jobs.locations.folders import JOB_FOLDERS
from jobs.storage import Storage

MARKER_FILE = "relora-job.txt"  # it holds the job's id


def owner_of(storage: Storage) -> str | None:
    try:
        return b"".join(storage.read(MARKER_FILE)).decode(errors="replace").strip()
    except FileNotFoundError:
        return None


def claim_output(storage: Storage, job_id: str, *, wrote_before: Callable[[], bool]) -> bool:
    """Make the location the job's if it is nobody's; return whether it is the job's now.

    Without a marker file it is nobody's if nothing is where jobs write. Earlier versions wrote no
    marker file, so a job that `wrote_before` owns the location too.
    """
    if (owner := owner_of(storage)) is not None:
        return owner == job_id
    if _has_files(storage) and not wrote_before():
        return False
    return storage.create(MARKER_FILE, f"{job_id}\n".encode()) or owner_of(storage) == job_id


def release_output(storage: Storage, job_id: str) -> None:
    """Delete the job's marker file, after its files."""
    if owner_of(storage) == job_id:
        storage.delete(MARKER_FILE)


def _has_files(storage: Storage) -> bool:
    return any(next(iter(storage.list(folder)), None) is not None for folder in JOB_FOLDERS)
