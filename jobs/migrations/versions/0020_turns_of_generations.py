"""When a generator last took a generation of each project, so that projects take turns."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    column = sa.Column("last_generation_at", sa.Float(53), nullable=False, server_default="0")
    op.add_column("projects", column)


def downgrade() -> None:
    op.drop_column("projects", "last_generation_at")
