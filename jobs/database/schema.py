"""All tables of the store, whichever module describes them: what migrations are compared with."""

from jobs import inputs
from jobs.database.columns import metadata
from jobs.database.tables import datasets as datasets
from jobs.database.tables import generations as generations
from jobs.database.tables import jobs as tables
from jobs.database.tables import keys as keys
from jobs.database.tables import metrics as metrics
from jobs.database.tables import sweeps as sweeps
from jobs.database.tables import webhooks as webhooks
from jobs.scheduling import workers
from jobs.secrets import store as secrets
from jobs.store import idempotency, labels
from jobs.store import stats as vitals
from jobs.store import trainer_logs as logs

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
