"""The backup of a PostgreSQL database that docs/operations.md shows, made and restored."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from jobs.admin.migrate import is_migrated, migrate
from jobs.database.engine import open_engine
from jobs.errors import JobNotFound
from jobs.schemas.job import JobSpec
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from tests.fixtures.reports import step_finished
from tests.fixtures.servers import postgres_programs

DOCS = (Path(__file__).parents[3] / "docs/operations.md").read_text()
PAST = -1.0  # seconds that a lease of a lost worker has left


@pytest.mark.integration
def test_a_restored_database_has_what_was_backed_up_and_continues_what_ran(
    postgres_url: str, spec: JobSpec, tmp_path: Path
) -> None:
    def run(program: str) -> None:
        (command,) = re.findall(rf"^{program} .*", DOCS, re.M)
        path = f"{postgres_programs()}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "DATABASE_URL": postgres_url}
        shell = ["bash", "-c", command]
        subprocess.run(shell, env=environment, cwd=tmp_path, check=True, capture_output=True)

    migrate(postgres_url)
    engine = open_engine(postgres_url)
    store, attempts = JobStore(engine), AttemptStore(engine)
    ran, waited = store.create(spec), store.create(spec)
    claimed = attempts.claim(ran.id, worker="w1", lease_seconds=PAST)
    assert claimed is not None
    attempts.started(ran.id, claimed.attempt, resumed_from=None)
    attempts.append(ran.id, claimed.attempt, [(1, step_finished(10))])
    events = store.events(ran.id)

    run("pg_dump")
    late = store.create(spec)
    store.request_action(waited.id, RequestedAction.CANCEL)
    run("pg_restore")

    assert is_migrated(postgres_url)
    assert store.events(ran.id) == events
    assert store.get(waited.id).status is JobStatus.QUEUED
    with pytest.raises(JobNotFound):
        store.get(late.id)
    assert attempts.expire_leases() == [ran.id]
    again = attempts.claim(ran.id, worker="w2", lease_seconds=60)
    assert again is not None
    assert again.attempt == claimed.attempt + 1
    engine.dispose()
