"""The table of idempotency keys."""

from sqlalchemy import Column, ForeignKey, Index, String, Table

from jobs.database.columns import Key, UtcDateTime, metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("project", Key, ForeignKey("projects.name"), primary_key=True),
    Column("key", Key, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("made", Key, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "project", "created_at"),
)
