"""Rename the code of the warning that a field of another method is not used."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The second condition lets the index of rare events be used.
EVENTS = sa.text("""
    UPDATE events
    SET body = replace(body, '"code":"field_set_aside"', '"code":"field_ignored"')
    WHERE type = 'train.warning' AND type != 'train.step'
""")


def upgrade() -> None:
    op.execute(EVENTS)


def downgrade() -> None:
    """The code stays: no program of an earlier version looks for it."""
