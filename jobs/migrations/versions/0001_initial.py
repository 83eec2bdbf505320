"""Jobs, their events and files, and the outbox."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from jobs.database.columns import UtcDateTime

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("wish", sa.String(16)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failed_attempts", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("worker", sa.String),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("last_event", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.Float(53)),
        sa.Column("rung_at", sa.Float(53), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_jobs_status_lease_until", "jobs", ["status", "lease_until"])
    op.create_table(
        "events",
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("line", sa.BigInteger),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("job_id", "attempt", "line"),
    )
    op.create_table(
        "artifacts",
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("path", _KEY, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("step", sa.BigInteger),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id"), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_job_id", "outbox", ["job_id"])


def downgrade() -> None:
    for table in ("outbox", "artifacts", "events", "jobs"):
        op.drop_table(table)
