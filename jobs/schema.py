"""All tables of the store, whichever module describes them: what migrations are compared with."""

from jobs import idempotency, inputs, labels, logs, secrets, tables, vitals, workers
from jobs.columns import metadata
from jobs.datasets import tables as datasets
from jobs.generations import tables as generations
from jobs.keys import tables as keys
from jobs.metrics import tables as metrics
from jobs.sweeps import tables as sweeps
from jobs.webhooks import tables as webhooks

__all__ = [
    "datasets",
    "generations",
    "idempotency",
    "inputs",
    "keys",
    "labels",
    "logs",
    "metadata",
    "metrics",
    "secrets",
    "sweeps",
    "tables",
    "vitals",
    "webhooks",
    "workers",
]
