"""Where each file of a job is in the storage: until now, at its path."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("artifacts", sa.Column("key", sa.String, nullable=False, server_default=""))
    op.execute("UPDATE artifacts SET key = path")


def downgrade() -> None:
    op.drop_column("artifacts", "key")
