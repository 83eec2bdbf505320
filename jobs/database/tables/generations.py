"""The table of generations. It is also their queue, so that no message can be lost."""

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from jobs.database.columns import BytewiseString, UtcDateTime, metadata, string_enum
from jobs.schemas.generations import GenerationStatus

generations = Table(
    "generations",
    metadata,
    Column("id", BytewiseString, primary_key=True),
    Column("job_id", BytewiseString, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("status", string_enum(GenerationStatus), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("request", Text, nullable=False),
    Column("text", Text, nullable=False, server_default=""),
    Column("result", Text),
    Column("error", Text),
    Column("attempt", Integer, nullable=False),
    Column("worker", String),
    Column("deadline", Float(53), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index(None, "job_id", "id"),
    Index(None, "status", "id"),
)
