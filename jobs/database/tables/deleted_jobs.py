"""The table of deleted jobs whose files are still to be deleted."""

from sqlalchemy import Column, Float, Table, Text

from jobs.database.columns import BytewiseString, metadata

deleted_jobs = Table(
    "deleted_jobs",
    metadata,
    Column("job_id", BytewiseString, primary_key=True),
    Column("project", BytewiseString, nullable=False),  # whose secrets open the storage
    Column("spec", Text, nullable=False),  # says where the files are
    Column("keys", Text, nullable=False),  # of the files that the job had listed
    Column("due_at", Float(53), nullable=False, server_default="0"),
    Column("retry_seconds", Float(53), nullable=False, server_default="30"),  # the next pause
    Column("leased_until", Float(53), nullable=False, server_default="0"),  # by who deletes now
)
