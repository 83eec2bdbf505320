"""The table of secrets; their values are encrypted."""

from sqlalchemy import Column, Table, Text

from jobs.database.columns import BytewiseString, UtcDateTime, metadata

secrets = Table(
    "secrets",
    metadata,
    Column("project", BytewiseString, primary_key=True),
    Column("name", BytewiseString, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
