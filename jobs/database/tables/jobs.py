"""The tables of projects, jobs, events, artifacts, and the outbox of messages to the workers.

Times of leases and notifications are seconds of the database's clock (`engine.database_now`).
Times that a person reads are UTC times. Documents are JSON text that pydantic writes and reads, so
that they are valid JSON even if a float is not finite.
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

DEFAULT_PROJECT = "default"  # it always exists; people may create more projects

# Jobs, datasets and so on belong to a project. A quota that is null has no limit.
projects = Table(
    "projects",
    metadata,
    Column("name", BytewiseString, primary_key=True),
    Column("max_queued_jobs", Integer),
    Column("max_running_jobs", Integer),
    Column("max_gpus", Integer),
    Column("max_storage_bytes", BigInteger),
    Column("last_generation_turn", BigInteger, nullable=False, server_default="0"),
    Column("gpu_seconds", Float(53), nullable=False, server_default="0"),  # of its deleted jobs
    Column("created_at", UtcDateTime, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", BytewiseString, primary_key=True),
    Column("project", BytewiseString, nullable=False, server_default=DEFAULT_PROJECT),
    Column("status", string_enum(JobStatus), nullable=False),
    Column("requested_action", string_enum(RequestedAction)),
    Column("profile_steps", Integer),  # of the profile that was requested and is not saved yet
    Column("profile_event", BigInteger),  # the number of the event of that request
    Column("attempt", Integer, nullable=False),
    Column("failed_attempts", Integer, nullable=False),
    Column("node_faults", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False),
    Column("worker", String),
    Column("failed_on", String),  # the worker of the last failed attempt
    Column("gpus", Integer, nullable=False, server_default="1"),
    Column("gpu_class", String),  # None: any
    Column("held_gpus", Integer, nullable=False, server_default="0"),  # by its current attempt
    Column("gpu_seconds", Float(53), nullable=False, server_default="0"),  # until `counted_at`
    Column("counted_at", Float(53)),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("method", String, nullable=False, server_default=""),
    Column("forked_from", BytewiseString),
    # A service with API keys accepted the job, so its worker applies the rules of such a service.
    Column("with_keys", Boolean, nullable=False, server_default=false()),
    Column("spec", Text, nullable=False),
    Column("progress", Text, nullable=False),
    Column("error", Text),
    Column("last_event", BigInteger, nullable=False),
    Column("lease_until", Float(53)),
    Column("notified_at", Float(53), nullable=False),
    Column("not_before", Float(53), nullable=False, server_default="0"),  # the end of its backoff
    # The quotas had no room when a worker got the message. Another is sent when there is room.
    Column("waiting_for_quota", Boolean, nullable=False, server_default=false()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "status", "lease_until"),
    Index(None, "project", "id"),
    Index(None, "project", "updated_at"),
)
# A covering index for the order of the queue.
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
# Nearly all events are steps. A partial index with only the other events finds them fast. A query
# uses the index only if it has exactly this condition.
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

# Messages to send. They are written in the transaction that queues a job and deleted when sent.
outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", BytewiseString, ForeignKey("jobs.id"), nullable=False, index=True),
    sqlite_autoincrement=True,  # otherwise SQLite would reuse the id of a sent message
)
