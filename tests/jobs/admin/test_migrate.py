"""The migrations create exactly the tables that the store uses."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text

from jobs.admin.migrate import is_migrated, migrate
from jobs.database.engine import open_engine
from jobs.database.row_mapping import event_from
from jobs.database.schema import metadata
from jobs.database.tables.deleted_jobs import deleted_jobs
from jobs.database.tables.job_inputs import job_inputs
from jobs.database.tables.jobs import events, jobs
from jobs.database.tables.metrics import buckets
from jobs.database.tables.webhooks import deliveries, webhooks
from jobs.schemas.events import ActionRequested
from jobs.schemas.job import JobSpec
from jobs.schemas.resources import Resources
from jobs.schemas.status import RequestedAction
from jobs.store.deleted_jobs import BACKOFF
from relora_core.events import Warned

INSERT_AS_0001 = text("""
    INSERT INTO jobs (id, status, attempt, failed_attempts, max_attempts, spec, progress,
        last_event, rung_at, created_at, updated_at)
    VALUES ('job_1', 'queued', 0, 0, 5, :spec, '{}', 0, 0, '2026-11-24', '2026-11-24')
""")

INSERT_AS_0018 = text("""
    INSERT INTO jobs (id, project, status, attempt, failed_attempts, max_attempts, spec, progress,
        last_event, rung_at, created_at, updated_at)
    VALUES (:id, 'default', 'queued', 0, 0, 5, :spec, '{}', 0, 0, '2026-11-24', '2026-11-24')
""")
INSERT_DATASET = text("""
    INSERT INTO datasets (id, project, name, filename, size, sha256, status, received, created_at,
        updated_at)
    VALUES (:id, :project, '', '', 1, '', 'ready', 1, '2026-11-24', '2026-11-24')
""")
INSERT_DELETED_JOB = text("""
    INSERT INTO deleted_jobs (job_id, project, spec, keys, retry_seconds)
    VALUES (:id, 'default', '{}', '[]', :pause)
""")


def test_the_migrations_and_the_tables_agree(empty_database_url: str) -> None:
    migrate(empty_database_url)
    migrate(empty_database_url)  # a second migration does nothing
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_jobs_from_before_there_were_projects_belong_to_the_default_one(
    empty_database_url: str, spec: JobSpec
) -> None:
    migrate(empty_database_url, revision="0001")
    spec = spec.model_copy(update={"resources": Resources(gpus=4)})
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(INSERT_AS_0001, {"spec": spec.model_dump_json()})
    migrate(empty_database_url)
    with engine.begin() as connection:
        (job,) = connection.execute(select(jobs.c.project, jobs.c.gpus))
    engine.dispose()
    assert job == ("default", 4)


def test_the_inputs_of_jobs_from_before_are_found_in_their_specs(
    empty_database_url: str, spec: JobSpec
) -> None:
    migrate(empty_database_url, revision="0018")
    written = spec.model_dump(mode="json")
    specs: dict[str, object] = {
        "job_parent": written,
        "job_1": written | {"data": {"train": {"uri": ["/x.txt", "upload://ds_1"]}}},
        "job_2": written | {"method": {"warm_start_from": "job://job_parent/final"}},
        "job_3": written | {"model": {"pretrained": "job://job_none/final"}},  # no such job
        "job_4": written | {"labels": {"x": "upload://ds_1"}, "name": "job://job_parent/final"},
        "job_5": written | {"data": {"train": {"uri": "upload://ds_theirs"}}},
        "job_6": {"data": [], "model": {"pretrained": 1}},
        "job_7": "no object",
    }
    rows = [{"id": id_, "spec": json.dumps(one)} for id_, one in specs.items()]
    rows.append({"id": "job_8", "spec": '{"data": '})
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO projects VALUES ('theirs', 0, 0, 0, 0, '2026-11-24')"))
        for dataset_id, project in (("ds_1", "default"), ("ds_theirs", "theirs")):
            connection.execute(INSERT_DATASET, {"id": dataset_id, "project": project})
        connection.execute(INSERT_AS_0018, rows)
    migrate(empty_database_url)
    with engine.begin() as connection:
        found = connection.execute(select(job_inputs).order_by(job_inputs.c.job_id)).all()
    engine.dispose()
    assert found == [("job_1", "ds_1", ""), ("job_2", "job_parent", "final")]


INSERT_AS_0021 = [
    """
        INSERT INTO jobs (id, status, wish, attempt, failed_attempts, max_attempts, spec, progress,
            last_event, rung_at, created_at, updated_at)
        VALUES ('job_1', 'running', 'pause', 1, 0, 5, '{}', '{}', 0, 0, '2026-11-24', '2026-11-24')
    """,
    """
        INSERT INTO events (job_id, id, attempt, type, body)
        VALUES ('job_1', 1, 1, 'job.wish',
            '{"type":"job.wish","time":"2026-11-24T00:00:00Z","wish":"pause"}'),
            ('job_1', 2, 1, 'train.warning', '{"type":"train.warning","step":0,
            "time":"2026-11-24T00:00:00Z","code":"field_set_aside","message":""}')
    """,
    """
        INSERT INTO webhooks (id, project, url, events, secret, created_at, failures, leased_until,
            tried_at)
        VALUES ('whk_1', 'default', 'https://x', '["job.wish", "train.eval"]', 's', '2026-11-24',
            0, 0, 0)
    """,
    """
        INSERT INTO deliveries (id, webhook_id, job_id, event_type, body, status, attempts, due_at,
            give_up_at, created_at)
        VALUES ('dlv_1', 'whk_1', 'job_1', 'job.wish',
            '{"job_id": "job_1", "event": {"type": "job.wish", "wish": "pause"}}', 'pending', 0, 0,
            0, '2026-11-24')
    """,
]


def test_what_earlier_versions_called_otherwise_has_the_names_of_today(
    empty_database_url: str,
) -> None:
    migrate(empty_database_url, revision="0021")
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        for statement in INSERT_AS_0021:
            connection.exec_driver_sql(statement)
    migrate(empty_database_url)
    with engine.begin() as connection:
        (action,) = connection.scalars(select(jobs.c.requested_action))
        requested, warned = map(event_from, connection.execute(select(events)))
        (patterns,) = connection.scalars(select(webhooks.c.events))
        (delivery,) = connection.execute(select(deliveries.c.event_type, deliveries.c.body))
    engine.dispose()
    assert action is RequestedAction.PAUSE
    assert requested == ActionRequested(
        id=1, attempt=1, time=datetime(2026, 11, 24, tzinfo=UTC), action="pause"
    )
    assert isinstance(warned, Warned)
    assert warned.code == "field_ignored"
    assert json.loads(patterns) == ["job.action_requested", "train.eval"]
    told = {"type": "job.action_requested", "action": "pause"}
    assert (delivery[0], json.loads(delivery[1])["event"]) == ("job.action_requested", told)


def test_the_pauses_of_deletions_become_counts_of_failures(empty_database_url: str) -> None:
    migrate(empty_database_url, revision="0026")
    pauses = [30, 60, 120, 240, 480, 960, 1920, 3600]
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        for number, pause in enumerate(pauses):
            values = {"id": f"job_{number}", "pause": pause}
            connection.execute(INSERT_DELETED_JOB, values)
    migrate(empty_database_url)
    with engine.begin() as connection:
        query = select(deleted_jobs.c.failures).order_by(deleted_jobs.c.job_id)
        counts = list(connection.scalars(query))
    engine.dispose()
    assert counts == list(range(8))
    assert [BACKOFF.ceiling(count + 1) for count in counts] == pauses


@pytest.mark.integration
def test_the_program_migrates_the_database_of_the_settings(tmp_path: Path) -> None:
    environment = {**os.environ, "RELORA_DATA_DIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-m", "jobs.admin.migrate"], env=environment, check=True, timeout=60
    )
    engine = open_engine(f"sqlite:///{tmp_path}/relora.db")
    assert {"jobs", "events", "artifacts", "outbox"} <= set(inspect(engine).get_table_names())
    engine.dispose()


@pytest.mark.parametrize("url", ["mysql://localhost/relora", "redis://localhost"])
def test_another_kind_of_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match=r"use postgresql:// or sqlite:///"):
        open_engine(url)


def test_the_means_of_stored_curves_are_computed_from_their_points(
    empty_database_url: str, spec: JobSpec
) -> None:
    migrate(empty_database_url, revision="0018")
    engine = open_engine(empty_database_url)
    values = [None if n % 7 == 0 else float(n) for n in range(21)]
    with engine.begin() as connection:
        connection.execute(INSERT_AS_0018, {"id": "job_1", "spec": spec.model_dump_json()})
        connection.execute(
            text(
                "INSERT INTO metric_curves (id, job_id, name, length, last_step)"
                " VALUES (1, 'job_1', 'loss', 21, 20)"
            )
        )
        for number, value in enumerate(values):
            connection.execute(
                text("INSERT INTO metric_points VALUES (1, :number, :number, :value)"),
                {"number": number, "value": value},
            )
        for level, number in [*((1, n) for n in range(5)), (2, 0)]:
            connection.execute(
                text(
                    "INSERT INTO metric_buckets (curve_id, level, number, first_step, last_step)"
                    " VALUES (1, :level, :number, 0, 0)"
                ),
                {"level": level, "number": number},
            )
    migrate(empty_database_url)
    with engine.begin() as connection:
        query = select(buckets.c.level, buckets.c.number, buckets.c.num_finite, buckets.c.total)
        stored = {tuple(row) for row in connection.execute(query)}
    engine.dispose()
    assert stored == {
        (level, number, *counted(values[number * 4**level : (number + 1) * 4**level]))
        for level, number in [*((1, n) for n in range(5)), (2, 0)]
    }


def counted(values: list[float | None]) -> tuple[int, float]:
    finite = [value for value in values if value is not None]
    return len(finite), sum(finite)


def test_a_database_is_migrated_with_the_last_migration_or_a_newer_one(
    empty_database_url: str,
) -> None:
    assert not is_migrated(empty_database_url)
    migrate(empty_database_url, revision="0018")
    assert not is_migrated(empty_database_url)
    migrate(empty_database_url)
    assert is_migrated(empty_database_url)
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    assert is_migrated(empty_database_url)  # an older version may run while a newer is rolled out


@pytest.mark.integration
def test_the_program_waits_until_another_has_migrated(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/relora.db"
    environment = {**os.environ, "RELORA_DATABASE_URL": url}
    command = [sys.executable, "-m", "jobs.admin.migrate", "--wait"]
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(command, env=environment, timeout=5)
    migrate(url)
    assert subprocess.run(command, env=environment, timeout=60).returncode == 0
