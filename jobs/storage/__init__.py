"""Where a job's files go: `file://` or `s3://`, behind one protocol."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from jobs.errors import StorageError
from jobs.models import Job
from jobs.storage.credentials import S3Credentials
from jobs.storage.local import LocalStorage
from jobs.storage.protocol import Storage, StoredFile

__all__ = ["S3Credentials", "Storage", "StoredFile", "job_storage", "open_storage"]


def open_storage(url: str, credentials: S3Credentials | None = None) -> Storage:
    """`s3://bucket/prefix` or `file:///folder`. Raises `StorageError` for any other.

    Without credentials S3 takes those of the process.
    """
    parts = urlsplit(url)
    match parts.scheme, parts.netloc:
        case "file", "":
            return LocalStorage(Path(unquote(parts.path)))
        case "s3", bucket if bucket:
            from jobs.storage.s3 import S3Storage  # slow to import, and not always needed

            return S3Storage(bucket, parts.path, credentials)
    raise StorageError(f"{url!r} is no storage; use s3://bucket/prefix or file:///folder.")


def job_storage(storage_url: str, job: Job, credentials: S3Credentials | None = None) -> Storage:
    """The job's own place: what its spec says, or a folder of the service's storage.

    The service's storage is opened with the service's credentials, not with the job's.
    """
    if job.spec.output_uri is not None:
        return open_storage(job.spec.output_uri, credentials)
    return open_storage(f"{storage_url.rstrip('/')}/jobs/{job.id}")
