"""Bring a database to the tables of this version: `python -m jobs.admin.migrate`."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from jobs.database.engine import open_engine
from jobs.settings import Settings

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_LOCK = 7_302_305_693  # any number, the same for all who migrate one PostgreSQL database


def migrate(database_url: str, *, revision: str = "head") -> None:
    """All or nothing, and safe when several processes do it at once."""
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
