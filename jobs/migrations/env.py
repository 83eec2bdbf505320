"""How Alembic runs: on the connection that `jobs.admin.migrate` opened, in its transaction.

To write a migration, `alembic revision --autogenerate -m WHAT` compares the tables with the
database of the settings.
"""

from alembic import context
from sqlalchemy import Connection

from jobs.database.engine import open_engine
from jobs.database.schema import metadata
from jobs.settings import Settings


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


def _run_alone() -> None:
    engine = open_engine(Settings().database_url, statement_seconds=None)
    with engine.begin() as connection:
        _run(connection)
    engine.dispose()


if (connection := context.config.attributes.get("connection")) is not None:
    _run(connection)
else:
    _run_alone()
