"""`python -m jobs.admin.migrate`: migrate a database to the tables of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from jobs.database.engine import open_engine
from jobs.settings import Settings

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_LOCK = 7_302_305_693  # an arbitrary number, the same for all processes that migrate


def migrate(database_url: str, *, revision: str = "head") -> None:
    """Migrate the database in one transaction. Several processes may do it at the same time."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    engine = open_engine(database_url, statement_seconds=None)
    try:
        with engine.begin() as connection:  # on SQLite, this takes the write lock
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


if __name__ == "__main__":
    migrate(Settings().database_url)
