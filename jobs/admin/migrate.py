"""`python -m jobs.admin.migrate`: migrate a database to the tables of this version.

With `--wait`, wait until another process has done so.
"""

import argparse
import logging
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from jobs.database.engine import open_engine
from jobs.outages import FailureLog
from jobs.settings import Settings

logger = logging.getLogger(__name__)

_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_LOOK_AGAIN_SECONDS = 2.0
_LOCK = 7_302_305_693  # an arbitrary number, the same for all processes that migrate


def migrate(database_url: str, *, revision: str = "head") -> None:
    """Migrate the database in one transaction. Several processes may do it at the same time."""
    config = _config()
    engine = open_engine(database_url, statement_seconds=None)
    try:
        with engine.begin() as connection:  # on SQLite, this takes the write lock
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def is_migrated(database_url: str) -> bool:
    """Return whether a database has the tables of this version, or of a newer one."""
    scripts = ScriptDirectory.from_config(_config())
    engine = open_engine(database_url)
    try:
        with engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    older = {script.revision for script in scripts.walk_revisions()} - {*scripts.get_heads()}
    return revision is not None and revision not in older


def _wait_until_migrated(database_url: str) -> None:
    failures = FailureLog(logger, "read the version of the database")
    migrated = False

    def look() -> None:
        nonlocal migrated
        migrated = is_migrated(database_url)

    while not (failures.guard(look) and migrated):
        time.sleep(_LOOK_AGAIN_SECONDS)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.admin.migrate", description=__doc__)
    parser.add_argument("--wait", action="store_true", help="wait until it is migrated")
    work = _wait_until_migrated if parser.parse_args().wait else migrate
    work(Settings().database_url)


if __name__ == "__main__":
    main()
