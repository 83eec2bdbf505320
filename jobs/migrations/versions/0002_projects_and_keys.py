"""Projects, the API keys that act in them, and whose each job is."""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from jobs.database.columns import UtcDateTime

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_READ_GPUS = {
    "sqlite": "UPDATE jobs SET gpus = json_extract(spec, '$.resources.gpus')",
    "postgresql": "UPDATE jobs SET gpus = (spec::json -> 'resources' ->> 'gpus')::int",
}


def upgrade() -> None:
    projects = op.create_table(
        "projects",
        sa.Column("name", _KEY, primary_key=True),
        sa.Column("max_queued_jobs", sa.Integer),
        sa.Column("max_running_jobs", sa.Integer),
        sa.Column("max_gpus", sa.Integer),
        sa.Column("max_storage_bytes", sa.BigInteger),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.bulk_insert(projects, [{"name": "default", "created_at": datetime.now(UTC)}])
    op.create_table(
        "api_keys",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("project", _KEY, sa.ForeignKey("projects.name"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("prefix", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.Column("last_used_at", UtcDateTime),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_api_keys_project", "api_keys", ["project"])
    op.add_column("jobs", sa.Column("project", _KEY, nullable=False, server_default="default"))
    op.add_column("jobs", sa.Column("gpus", sa.Integer, nullable=False, server_default="1"))
    op.execute(_READ_GPUS[op.get_context().dialect.name])
    op.create_index("ix_jobs_project_id", "jobs", ["project", "id"])
    op.create_index("ix_jobs_project_status", "jobs", ["project", "status"])


def downgrade() -> None:
    for index in ("ix_jobs_project_status", "ix_jobs_project_id"):
        op.drop_index(index, "jobs")
    for column in ("gpus", "project"):
        op.drop_column("jobs", column)
    for table in ("api_keys", "projects"):
        op.drop_table(table)
