"""The table of deleted jobs whose files are not deleted yet."""

from sqlalchemy import Column, Float, Integer, Table, Text

from jobs.database.columns import BytewiseString, metadata

deleted_jobs = Table(
    "deleted_jobs",
    metadata,
    Column("job_id", BytewiseString, primary_key=True),
    Column("project", BytewiseString, nullable=False),  # it has the secrets for the storage
    Column("spec", Text, nullable=False),  # it names the location of the files
    Column("keys", Text, nullable=False),  # the storage keys of the listed files
    Column("due_at", Float(53), nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row
    Column("leased_until", Float(53), nullable=False, server_default="0"),  # by one process
)
