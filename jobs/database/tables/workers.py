"""The table of workers, each with its last heartbeat."""

from sqlalchemy import Column, Float, Integer, String, Table, Text

from jobs.database.columns import BytewiseString, UtcDateTime, metadata

workers = Table(
    "workers",
    metadata,
    Column("name", BytewiseString, primary_key=True),
    Column("host", String, nullable=False),
    Column("version", String, nullable=False),
    Column("gpus", Text, nullable=False),
    Column("num_gpus", Integer, nullable=False, server_default="0"),
    Column("gpu_class", String),
    Column("problem", Text),
    Column("beat_at", Float(53), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("last_heartbeat", UtcDateTime, nullable=False),
)
