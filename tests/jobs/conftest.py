"""Fixtures: stores on both databases, and jobs and events to fill them with."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from jobs.access.projects import ProjectStore
from jobs.admin.migrate import migrate
from jobs.database.engine import open_engine
from jobs.database.schema import metadata
from jobs.scheduling.outbox import Outbox
from jobs.schemas.job import Job, JobSpec
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from relora_core.events import StepFinished
from tests.fixtures import reports
from tests.fixtures.databases import MakeTables
from tests.fixtures.forking import FORKING, preload

LEASE = 60.0
NUM_PROCESSES = 4
preload("jobs.backends", "jobs.admin.migrate")


BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


@pytest.fixture(params=BOTH)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/relora.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database with empty tables."""
    url: str = request.getfixturevalue(f"{request.param}_store_url")
    return url


@pytest.fixture
def sqlite_store_url(make_tables: MakeTables, tmp_path: Path) -> str:
    make_tables(tmp_path)
    return f"sqlite:///{tmp_path}/relora.db"


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_server: str) -> str:
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE store")
    migrate(f"{postgres_server}/store")
    return f"{postgres_server}/store"


@pytest.fixture
def postgresql_store_url(_migrated_postgres: str) -> str:
    """Return the URL of one database for all tests, emptied.

    To create a database takes longer than most tests.
    """
    with psycopg.connect(_migrated_postgres) as connection:
        connection.execute(f"TRUNCATE {', '.join(metadata.tables)}")
        connection.execute("INSERT INTO projects (name, created_at) VALUES ('default', now())")
    return _migrated_postgres


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def projects(engine: Engine) -> ProjectStore:
    return ProjectStore(engine)


@pytest.fixture
def store(engine: Engine) -> JobStore:
    return JobStore(engine)


@pytest.fixture
def attempts(engine: Engine) -> AttemptStore:
    return AttemptStore(engine)


@pytest.fixture
def outbox(engine: Engine) -> Outbox:
    return Outbox(engine)


@pytest.fixture
def spec() -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "tiny",
            "labels": {"team": "research"},
            "model": {"preset": "llama_9m"},
            "data": {"train": {"uri": "file:///corpus/*.txt"}},
            "training": {"steps": 100},
            "retries": {"max_attempts": 3},
        }
    )


@pytest.fixture
def job(store: JobStore, spec: JobSpec) -> Job:
    return store.create(spec)


@pytest.fixture
def running(store: JobStore, attempts: AttemptStore, job: Job) -> Job:
    """A job in its first attempt, held by worker `w1`."""
    claimed = attempts.claim(job.id, worker="w1", lease_seconds=LEASE)
    assert claimed is not None
    attempts.started(job.id, claimed.attempt, resumed_from=None)
    return store.get(job.id)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Other processes that use the same database."""
    with pytest.MonkeyPatch.context() as patch, ProcessPoolExecutor(NUM_PROCESSES, FORKING) as pool:
        patch.syspath_prepend(Path(__file__).parents[2])  # they find the functions of a test there
        yield pool


@pytest.fixture
def step_finished() -> Callable[[int], StepFinished]:
    return reports.step_finished
