"""All tables of the store, whichever module describes them: what migrations are compared with."""

from jobs import secrets, tables
from jobs.columns import metadata
from jobs.keys import tables as keys
from jobs.metrics import tables as metrics

__all__ = ["keys", "metadata", "metrics", "secrets", "tables"]
