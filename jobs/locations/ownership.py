"""The marker file that says which job owns an output location that a spec names.

It keeps a job from deleting or replacing the files of another job. A location in the service's
own storage needs none, because it is named after its job.
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
    """Claim the location for the job if it has no owner; return whether the job owns it now.

    A location without a marker file has no owner if the folders of jobs are empty in it. Earlier
    versions wrote no marker file. So if the job `wrote_before` here, it may claim the location too.
    """
    if (owner := owner_of(storage)) is not None:
        return owner == job_id
    if _has_files(storage) and not wrote_before():
        return False
    return storage.create(MARKER_FILE, f"{job_id}\n".encode()) or owner_of(storage) == job_id


def release_output(storage: Storage, job_id: str) -> None:
    """Delete the marker file of the job. Call it after the job's files are deleted."""
    if owner_of(storage) == job_id:
        storage.delete(MARKER_FILE)


def _has_files(storage: Storage) -> bool:
    return any(next(iter(storage.list(folder)), None) is not None for folder in JOB_FOLDERS)
