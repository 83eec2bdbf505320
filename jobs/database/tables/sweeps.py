"""The tables of sweeps and of their jobs."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from jobs.database.columns import BytewiseString, UtcDateTime, metadata
from jobs.database.tables.jobs import projects

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", BytewiseString, primary_key=True),
    Column("project", BytewiseString, ForeignKey(projects.c.name), nullable=False),
    Column("name", String, nullable=False),
    Column("grid", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "project", "id"),
)

sweep_jobs = Table(
    "sweep_jobs",
    metadata,
    Column(
        "sweep_id", BytewiseString, ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True
    ),
    Column(
        "job_id",
        BytewiseString,
        ForeignKey("jobs.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
    Column("position", Integer, nullable=False),
    Column("changes", Text, nullable=False),
)
