"""How many GPUs each worker has, which decides what it may run."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("num_gpus", sa.Integer, nullable=False, server_default="0"))
    op.execute("DELETE FROM workers")  # they say themselves again within seconds


def downgrade() -> None:
    op.drop_column("workers", "num_gpus")
