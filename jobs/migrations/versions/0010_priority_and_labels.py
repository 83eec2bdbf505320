"""Jobs by priority, method and label; keys under which requests may be sent again."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from jobs.database.columns import UtcDateTime

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_READ_SPECS = {
    "sqlite": [
        "UPDATE jobs SET method = json_extract(spec, '$.method.name')",
        "INSERT INTO job_labels SELECT jobs.id, label.key, label.value "
        "FROM jobs, json_each(jobs.spec, '$.labels') AS label",
    ],
    "postgresql": [
        "UPDATE jobs SET method = spec::json -> 'method' ->> 'name'",
        "INSERT INTO job_labels SELECT jobs.id, label.key, label.value "
        "FROM jobs, json_each_text(jobs.spec::json -> 'labels') AS label",
    ],
}


def upgrade() -> None:
    op.add_column("jobs", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("method", sa.String, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("forked_from", _KEY))
    op.create_index("ix_jobs_status_priority_id", "jobs", ["status", "priority", "id"])
    op.create_table(
        "job_labels",
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_index("ix_job_labels_key_value_job_id", "job_labels", ["key", "value", "job_id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("project", _KEY, sa.ForeignKey("projects.name"), primary_key=True),
        sa.Column("key", _KEY, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("made", _KEY, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_idempotency_keys_made", "idempotency_keys", ["made"])
    op.create_index(
        "ix_idempotency_keys_project_created_at", "idempotency_keys", ["project", "created_at"]
    )
    for statement in _READ_SPECS[op.get_context().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for table in ("idempotency_keys", "job_labels"):
        op.drop_table(table)
    op.drop_index("ix_jobs_status_priority_id", "jobs")
    for column in ("forked_from", "method", "priority"):
        op.drop_column("jobs", column)
