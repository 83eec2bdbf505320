"""The next job of a project, which is asked for at each claim, by an index."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.drop_index("ix_jobs_status_priority_id", "jobs")
    op.drop_index("ix_jobs_project_status", "jobs")
    in_order: list[str | sa.TextClause] = ["status", "project"]
    in_order += [sa.text("priority DESC"), "id", "gpus"]
    op.create_index("ix_jobs_in_order", "jobs", in_order)


def downgrade() -> None:
    op.drop_index("ix_jobs_in_order", "jobs")
    op.create_index("ix_jobs_project_status", "jobs", ["project", "status"])
    op.create_index("ix_jobs_status_priority_id", "jobs", ["status", "priority", "id"])
