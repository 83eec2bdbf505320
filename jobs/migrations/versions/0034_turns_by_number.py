"""Number the turns of generations: two claims may come within one tick of the clock."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0034"
down_revision: str | None = "0033"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    turn = sa.Column("last_generation_turn", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("projects", turn)
    op.drop_column("projects", "last_generation_at")


def downgrade() -> None:
    column = sa.Column("last_generation_at", sa.Float(53), nullable=False, server_default="0")
    op.add_column("projects", column)
    op.drop_column("projects", "last_generation_turn")
