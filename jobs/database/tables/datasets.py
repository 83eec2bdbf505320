"""The tables of datasets. Each part of an upload is a file in the storage that never changes."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table

from jobs.database.columns import BytewiseString, UtcDateTime, metadata, string_enum
from jobs.database.tables.jobs import projects
from jobs.schemas.datasets import DatasetStatus

datasets = Table(
    "datasets",
    metadata,
    Column("id", BytewiseString, primary_key=True),
    Column("project", BytewiseString, ForeignKey(projects.c.name), nullable=False),
    Column("name", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("status", string_enum(DatasetStatus), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "project", "id"),
    Index(None, "status", "updated_at"),
)

dataset_parts = Table(
    "dataset_parts",
    metadata,
    Column("dataset_id", BytewiseString, ForeignKey("datasets.id"), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("key", String, nullable=False),
)
