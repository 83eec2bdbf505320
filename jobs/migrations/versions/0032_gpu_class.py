"""The class of GPU that a worker has and that a job asks for."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0032"
down_revision: str | None = "0031"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("gpu_class", sa.String))
    op.add_column("workers", sa.Column("gpu_class", sa.String))


def downgrade() -> None:
    op.drop_column("workers", "gpu_class")
    op.drop_column("jobs", "gpu_class")
