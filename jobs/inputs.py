"""The inputs of a job: the uploads and the files of other jobs that its run reads.

They are stored with the job when it is submitted. They cannot be deleted until the job is over. A
transaction that queues a job locks the row of the dataset or the job that each input belongs to. A
transaction that deletes an input locks the same row. So one of the two comes first, and the other
sees its result.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, insert, select

from jobs.database.tables.datasets import datasets
from jobs.database.tables.job_inputs import job_inputs
from jobs.database.tables.jobs import artifacts, jobs
from jobs.errors import ArtifactNotFound, DatasetNotFound, JobNotFound
from jobs.schemas.datasets import SCHEME, DatasetStatus
from jobs.schemas.job import JobSpec
from jobs.schemas.job_uris import parse, uris_of
from jobs.schemas.status import FINAL

SHOWN_JOBS = 10


def uploads_of(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield the fields of a spec that name an uploaded dataset, with the id of the dataset."""
    for path, uri in spec.places():
        if uri.startswith(SCHEME):
            yield path, uri.removeprefix(SCHEME)


def add_inputs(connection: Connection, job_id: str, spec: JobSpec, *, project: str) -> None:
    """Store the inputs of a new job.

    Raise `DatasetNotFound`, `JobNotFound` or `ArtifactNotFound` if an input does not exist.
    """
    found = {(dataset_id, "") for _, dataset_id in uploads_of(spec)}
    found |= {place for _, uri in uris_of(spec) if (place := parse(uri))}
    rows = [
        {"job_id": job_id, "source_id": source_id, "folder": folder} for source_id, folder in found
    ]
    if rows:
        connection.execute(insert(job_inputs), rows)
        lock_inputs(connection, job_id, project=project)


def lock_inputs(connection: Connection, job_id: str, *, project: str) -> None:
    """Lock the inputs of a job, so that nobody deletes them until the transaction ends.

    Raise `DatasetNotFound`, `JobNotFound` or `ArtifactNotFound` if an input does not exist.
    """
    query = select(job_inputs).where(job_inputs.c.job_id == job_id)
    # Every transaction locks inputs in the same order, to prevent deadlocks.
    for row in connection.execute(query.order_by("source_id", "folder")).all():
        if row.folder:
            _lock_files(connection, row.source_id, row.folder, project)
        else:
            _lock_dataset(connection, row.source_id, project)


def users_of(connection: Connection, source_id: str, *, folder: str | None = None) -> list[str]:
    """Return the ids of unfinished jobs that have this dataset, or files of this job, as an input.

    At most `SHOWN_JOBS` ids are returned. The caller must hold the lock of the row of the dataset
    or the job.
    """
    query = select(jobs.c.id).join(job_inputs, job_inputs.c.job_id == jobs.c.id).distinct()
    query = query.where(job_inputs.c.source_id == source_id, jobs.c.status.not_in(FINAL))
    if folder is not None:
        query = query.where(job_inputs.c.folder == folder)
    return list(connection.scalars(query.order_by(jobs.c.id).limit(SHOWN_JOBS)))


def _lock_files(connection: Connection, job_id: str, folder: str, project: str) -> None:
    owner = select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.project == project)
    if connection.scalar(owner.with_for_update()) is None:
        raise JobNotFound(job_id)
    below = artifacts.c.path.startswith(f"{folder}/", autoescape=True)
    files = select(artifacts.c.path).where(artifacts.c.job_id == job_id, below)
    if connection.scalar(files.limit(1)) is None:
        raise ArtifactNotFound(job_id, folder)


def _lock_dataset(connection: Connection, dataset_id: str, project: str) -> None:
    dataset = select(datasets.c.id).where(
        datasets.c.id == dataset_id,
        datasets.c.project == project,
        datasets.c.status != DatasetStatus.DELETED,
    )
    if connection.scalar(dataset.with_for_update()) is None:
        raise DatasetNotFound(dataset_id)
