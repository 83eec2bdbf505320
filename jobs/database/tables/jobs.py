"""The tables of jobs: whose they are, what a person asked, what happened, what came of it.

Leases and notifications are in seconds of the database's clock (`database.database_now`); what a
person reads is a UTC time. Documents are JSON text as pydantic writes and reads it, so that
they are valid JSON even where a float is not finite.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
)

from jobs.database.columns import BytewiseString, RowId, UtcDateTime, metadata, string_enum
from jobs.schemas.status import JobStatus, RequestedAction

DEFAULT_PROJECT = "default"  # there from the start, and the only one until a person makes others

# Whatever a person makes belongs to one. A quota that is null has no limit.
projects = Table(
    "projects",
    metadata,
    Column("name", BytewiseString, primary_key=True),
    Column("max_queued_jobs", Integer),
    Column("max_running_jobs", Integer),
    Column("max_gpus", Integer),
    Column("max_storage_bytes", BigInteger),
    Column("last_generation_at", Float(53), nullable=False, server_default="0"),  # was taken
    Column("created_at", UtcDateTime, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", BytewiseString, primary_key=True),
    Column("project", BytewiseString, nullable=False, server_default=DEFAULT_PROJECT),
    Column("status", string_enum(JobStatus), nullable=False),
    Column("requested_action", string_enum(RequestedAction)),
    Column("attempt", Integer, nullable=False),
    Column("failed_attempts", Integer, nullable=False),
    Column("node_faults", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False),
    Column("worker", String),
    Column("failed_on", String),  # the worker of the last failed attempt
    Column("gpus", Integer, nullable=False, server_default="1"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("method", String, nullable=False, server_default=""),
    Column("forked_from", BytewiseString),
    # It was accepted by a service that asks for keys, so its worker has the rules of one too.
    Column("with_keys", Boolean, nullable=False, server_default=false()),
    Column("spec", Text, nullable=False),
    Column("progress", Text, nullable=False),
    Column("error", Text),
    Column("last_event", BigInteger, nullable=False),
    Column("lease_until", Float(53)),
    Column("notified_at", Float(53), nullable=False),
    Column("not_before", Float(53), nullable=False, server_default="0"),  # a failed one backs off
    # Its message came when its project had no room; the reaper sends another when there is.
    Column("waiting_for_quota", Boolean, nullable=False, server_default=false()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "status", "lease_until"),
    Index(None, "project", "id"),
)
# All that the order of the queue needs, in that order.
Index(
    "ix_jobs_in_order",
    jobs.c.status,
    jobs.c.project,
    jobs.c.priority.desc(),
    jobs.c.id,
    jobs.c.gpus,
)

events = Table(
    "events",
    metadata,
    Column("job_id", BytewiseString, ForeignKey("jobs.id"), primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("line", BigInteger),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("job_id", "attempt", "line"),
)
# Nearly all events are steps; the few others are found among a million of them by an index that
# holds them alone. A query uses it where it repeats this condition, to the letter.
NOT_A_STEP = events.c.type != literal_column("'train.step'")
Index(
    "ix_events_rare",
    events.c.job_id,
    events.c.type,
    events.c.id,
    sqlite_where=NOT_A_STEP,
    postgresql_where=NOT_A_STEP,
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("job_id", BytewiseString, ForeignKey("jobs.id"), primary_key=True),
    Column("path", BytewiseString, primary_key=True),
    Column("kind", String, nullable=False),
    Column("step", BigInteger),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("key", String, nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
)

# Messages to send: written in the transaction that queues a job, deleted when they are sent.
outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", BytewiseString, ForeignKey("jobs.id"), nullable=False, index=True),
    sqlite_autoincrement=True,  # or the number of a sent message would be given again
)
