"""All tables of the database. Migrations are compared with them."""

from jobs.database.columns import metadata
from jobs.database.tables import (
    datasets,
    deleted_jobs,
    generations,
    idempotency,
    job_inputs,
    jobs,
    keys,
    labels,
    metrics,
    secrets,
    sweeps,
    trainer_logs,
    upload_totals,
    webhooks,
    workers,
)

__all__ = [
    "datasets",
    "deleted_jobs",
    "generations",
    "idempotency",
    "job_inputs",
    "jobs",
    "keys",
    "labels",
    "metadata",
    "metrics",
    "secrets",
    "sweeps",
    "trainer_logs",
    "upload_totals",
    "webhooks",
    "workers",
]
