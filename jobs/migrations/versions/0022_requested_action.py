"""Rename the wish of a job to its requested action, in the events and webhooks too."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The second condition lets the index of rare events be used.
EVENTS = sa.text("""
    UPDATE events SET type = 'job.action_requested', body = replace(replace(body,
        '"type":"job.wish"', '"type":"job.action_requested"'), '"wish":"', '"action":"')
    WHERE type = 'job.wish' AND type != 'train.step'
""")
DELIVERIES = sa.text("""
    UPDATE deliveries SET event_type = 'job.action_requested', body = replace(replace(body,
        '"type": "job.wish"', '"type": "job.action_requested"'), '"wish": "', '"action": "')
    WHERE event_type = 'job.wish'
""")
WEBHOOKS = sa.text("""
    UPDATE webhooks SET events = replace(events, '"job.wish"', '"job.action_requested"')
    WHERE events LIKE '%"job.wish"%'
""")


def upgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN wish TO requested_action")
    for statement in (EVENTS, DELIVERIES, WEBHOOKS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN requested_action TO wish")
