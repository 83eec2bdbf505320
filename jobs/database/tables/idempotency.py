"""The table of idempotency keys."""

from sqlalchemy import Column, ForeignKey, Index, String, Table

from jobs.database.columns import BytewiseString, UtcDateTime, metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("project", BytewiseString, ForeignKey("projects.name"), primary_key=True),
    Column("key", BytewiseString, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("made", BytewiseString, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "project", "created_at"),
)
