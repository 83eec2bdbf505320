"""The table of the labels of jobs."""

from sqlalchemy import Column, ForeignKey, Index, String, Table

from jobs.database.columns import BytewiseString, metadata

job_labels = Table(
    "job_labels",
    metadata,
    Column("job_id", BytewiseString, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
    Index(None, "key", "value", "job_id"),
)
