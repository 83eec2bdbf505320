"""The index of jobs by the keys and values of their labels. The spec also holds the labels."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, delete, exists, insert

from jobs.database.tables.jobs import jobs
from jobs.database.tables.labels import job_labels


def set_labels(connection: Connection, job_id: str, labels: Mapping[str, str]) -> None:
    """Replace the labels of a job."""
    connection.execute(delete(job_labels).where(job_labels.c.job_id == job_id))
    rows = [{"job_id": job_id, "key": key, "value": value} for key, value in labels.items()]
    if rows:
        connection.execute(insert(job_labels), rows)


def has_labels(wanted: Sequence[tuple[str, str]]) -> list[ColumnElement[bool]]:
    """Return the SQL conditions that a job has each of these labels with its value."""
    return [
        exists().where(
            job_labels.c.job_id == jobs.c.id, job_labels.c.key == key, job_labels.c.value == value
        )
        for key, value in wanted
    ]
