"""An index of the jobs of a project by the time of their last change, to follow them."""

from collections.abc import Sequence

from alembic import op

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("ix_jobs_project_updated_at", "jobs", ["project", "updated_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_project_updated_at", "jobs")
