"""Where a job's files go: `file://` or `s3://`, behind one protocol."""

from pathlib import Path

from jobs.errors import StorageRefused
from jobs.schemas.job import JobSpec
from jobs.storage.addresses import S3, bucket_and_key
from jobs.storage.credentials import S3Credentials
from jobs.storage.local import LocalStorage
from jobs.storage.protocol import Storage, StoredFile
from relora_core.spec.file_uris import FILE, local_path

__all__ = ["JOBS", "S3Credentials", "Storage", "StoredFile", "job_storage", "open_storage"]

JOBS = "jobs"  # of the service's storage, with a folder for each job


def open_storage(url: str, credentials: S3Credentials | None = None) -> Storage:
    """`s3://bucket/prefix` or `file:///folder`. Raises `StorageRefused` for any other.

    Without credentials S3 takes those of the process.
    """
    if url.startswith(FILE + "/"):
        return LocalStorage(Path(local_path(url)))
    if url.startswith(S3) and (bucket := bucket_and_key(url)[0]):
        from jobs.storage.s3 import S3Storage  # slow to import, and not always needed

        return S3Storage(bucket, bucket_and_key(url)[1], credentials)
    raise StorageRefused(f"{url!r} is no storage; use s3://bucket/prefix or file:///folder.")


def job_storage(
    storage_url: str, job_id: str, spec: JobSpec, credentials: S3Credentials | None = None
) -> Storage:
    """The job's own place: what its spec says, or a folder of the service's storage.

    The service's storage is opened with the service's credentials, not with the job's.
    """
    if spec.output_uri is not None:
        return open_storage(spec.output_uri, credentials)
    return open_storage(f"{storage_url.rstrip('/')}/{JOBS}/{job_id}")
