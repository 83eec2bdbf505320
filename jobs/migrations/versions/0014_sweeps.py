"""Sweeps and their jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from jobs.database.columns import UtcDateTime

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("project", _KEY, sa.ForeignKey("projects.name"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("grid", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_sweeps_project_id", "sweeps", ["project", "id"])
    op.create_table(
        "sweep_jobs",
        sa.Column(
            "sweep_id", _KEY, sa.ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("job_id", _KEY, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("changes", sa.Text, nullable=False),
    )
    op.create_index("ix_sweep_jobs_job_id", "sweep_jobs", ["job_id"])


def downgrade() -> None:
    for table in ("sweep_jobs", "sweeps"):
        op.drop_table(table)
