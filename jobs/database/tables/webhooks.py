"""The tables of webhooks and deliveries. Due times and leases are seconds of the database's clock.

The log of deliveries outlives the job, so no foreign key refers to the row of the job.
"""

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from jobs.database.columns import BytewiseString, UtcDateTime, metadata, string_enum
from jobs.schemas.webhooks import DeliveryStatus

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", BytewiseString, primary_key=True),
    Column("project", BytewiseString, nullable=False),
    Column("job_id", BytewiseString),
    Column("url", String, nullable=False),
    Column("events", Text, nullable=False),
    Column("secret", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("failures", Integer, nullable=False),  # since the last success
    Column("failing_since", UtcDateTime),
    Column("leased_until", Float(53), nullable=False),
    Column("tried_at", Float(53), nullable=False),
    Index(None, "project", "job_id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BytewiseString, primary_key=True),
    Column("webhook_id", BytewiseString, ForeignKey("webhooks.id"), nullable=False),
    Column("job_id", BytewiseString),
    Column("event_type", String, nullable=False),
    Column("event_id", BigInteger),
    Column("body", Text, nullable=False),
    Column("status", string_enum(DeliveryStatus), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Float(53), nullable=False),
    Column("give_up_at", Float(53), nullable=False),
    Column("response_status", Integer),
    Column("error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index(None, "webhook_id", "id"),
    Index(None, "status", "due_at"),
)
