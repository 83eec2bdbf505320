import time
from contextlib import closing

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DataError

from jobs.admin.migrate import migrate
from jobs.backends import Backends, open_backends
from jobs.settings import Settings
from relora_core.events import AnyTrainEvent, StepFinished, TrainStopped, to_line
from tests.fixtures.disks import MakeDisk, fill
from tests.fixtures.reports import step_finished
from tests.worker.conftest import BeginAttempt, MakeSpec
from worker.attempt import clock
from worker.attempt.attempt import Attempt
from worker.attempt.lease import Lease
from worker.attempt.workdir import Workdir
from worker.supervision.supervisor import PAUSE_AFTER_OUTAGE, Recorder


def rename(database_url: str, table: str, name: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {name}")
    engine.dispose()


def test_events_wait_for_a_store_that_is_away(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    attempt = begin_attempt()
    seen: list[AnyTrainEvent] = []
    recorder = Recorder(attempt, seen.append)
    attempt.workdir.events.write_text(to_line(TrainStopped(step=5)) + "\n")

    rename(backends.settings.database_url, "events", "elsewhere")
    assert recorder.record()
    assert (seen, recorder.last) == ([], None)

    rename(backends.settings.database_url, "elsewhere", "events")
    time.sleep(PAUSE_AFTER_OUTAGE)
    assert recorder.record()
    assert not recorder.record()
    assert [event.type for event in seen] == ["train.stopped"]
    (stored,) = backends.store.events(attempt.job.id, types={"train.stopped"})
    assert stored.attempt == 1


def test_an_event_that_the_store_cannot_hold_is_not_tried_for_ever(
    begin_attempt: BeginAttempt, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DataError("INSERT", {}, ValueError("too long"))

    attempt = begin_attempt()
    monkeypatch.setattr(backends.attempts, "append", refuse)
    attempt.workdir.events.write_text(to_line(TrainStopped(step=5)) + "\n")
    with pytest.raises(DataError):
        Recorder(attempt).record()


@pytest.mark.integration
def test_events_wait_for_room_on_the_full_disk_of_sqlite(
    settings: Settings, make_spec: MakeSpec, make_disk: MakeDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.supervision.supervisor.PAUSE_AFTER_OUTAGE", 0)
    disk = make_disk(size="2m")
    url = f"sqlite:///{disk}/relora.db"
    migrate(url)
    with closing(open_backends(settings.model_copy(update={"database_url": url}))) as backends:
        job_id = backends.store.create(make_spec()).id
        now = clock.now()
        job = backends.attempts.claim(job_id, worker="w", lease_seconds=60)
        assert job is not None
        lease = Lease(backends.attempts, job, seconds=60, claimed_at=now)
        workdir = Workdir.of(settings.scratch_dir, job.id, job.attempt)
        workdir.create()
        recorder = Recorder(Attempt(job, lease, workdir, backends, shutting_down=lambda: False))
        lines = [to_line(step_finished(step)) for step in range(1, 201)]
        workdir.events.write_text("".join(f"{line}\n" for line in lines))
        fill(disk)

        assert recorder.record()
        assert not backends.store.events(job_id, types={"train.step"})
        (disk / "filler").unlink()
        recorder.finish()

        stored = backends.store.events(job_id, types={"train.step"}, limit=1000)
        assert [event.step for event in stored if isinstance(event, StepFinished)] == [
            *range(1, 201)
        ]
