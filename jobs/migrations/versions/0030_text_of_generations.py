"""The text of a generation, as far as it has come."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0030"
down_revision: str | None = "0029"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_READ_TEXT = {
    "sqlite": "json_extract(result, '$.text')",
    "postgresql": "result::json ->> 'text'",
}


def upgrade() -> None:
    op.add_column("generations", sa.Column("text", sa.Text, nullable=False, server_default=""))
    text = _READ_TEXT[op.get_context().dialect.name]
    op.execute(f"UPDATE generations SET text = {text} WHERE result IS NOT NULL")  # noqa: S608


def downgrade() -> None:
    op.drop_column("generations", "text")
