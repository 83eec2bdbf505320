import time

from sqlalchemy import create_engine

from jobs.backends import Backends
from relora_core.events import AnyTrainEvent, TrainStopped, to_line
from tests.worker.conftest import BeginAttempt
from worker.supervisor import PAUSE_AFTER_OUTAGE, Recorder


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
