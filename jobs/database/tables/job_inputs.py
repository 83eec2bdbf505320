"""The table of the inputs of jobs: uploaded datasets and files of other jobs."""

from sqlalchemy import Column, ForeignKey, Index, String, Table

from jobs.database.columns import BytewiseString, metadata

job_inputs = Table(
    "job_inputs",
    metadata,
    Column("job_id", BytewiseString, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "source_id", BytewiseString, primary_key=True
    ),  # the dataset, or the job whose files they are
    Column("folder", String, primary_key=True),  # of that job; empty for a dataset
    Index(None, "source_id"),
)
