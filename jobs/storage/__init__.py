"""The storage of files, in a folder (`file://`) or a bucket (`s3://`), behind one protocol."""

from pathlib import Path

from jobs.errors import StorageRefused
from jobs.schemas.job import JobSpec
from jobs.schemas.storage_url import FORMS, S3, bucket_and_key
from jobs.storage.credentials import S3Credentials
from jobs.storage.local import LocalStorage
from jobs.storage.protocol import Storage, StoredFile
from relora_core.spec.file_uris import FILE, local_path

__all__ = ["JOBS", "S3Credentials", "Storage", "StoredFile", "job_storage", "open_storage"]

JOBS = "jobs"  # the folder of the service's storage that has a folder for each job


def open_storage(url: str, credentials: S3Credentials | None = None) -> Storage:
    """Open the storage at `s3://bucket/prefix` or `file:///folder`.

    Raise `StorageRefused` for any other URL. Without `credentials`, S3 uses those of the process.
    """
    if url.startswith(FILE + "/"):
        return LocalStorage(Path(local_path(url)))
    if url.startswith(S3) and (bucket := bucket_and_key(url)[0]):
        from jobs.storage.s3 import S3Storage  # slow to import, and not always needed

        return S3Storage(bucket, bucket_and_key(url)[1], credentials)
    raise StorageRefused(f"{url!r} is no storage; use {FORMS}.")


def job_storage(
    storage_url: str, job_id: str, spec: JobSpec, credentials: S3Credentials | None = None
) -> Storage:
    """Open the storage of a job: the output of its spec, or its folder in the service's storage.

    The service's storage is opened with the service's credentials, not with those of the job.
    """
    if spec.output_uri is not None:
        return open_storage(spec.output_uri, credentials)
    return open_storage(f"{storage_url.rstrip('/')}/{JOBS}/{job_id}")
