"""The process beside the trainer."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jobs.backends import Backends
from relora_core.events import to_line
from tests.fixtures.reports import step_finished
from tests.worker.checkpoints import warnings
from tests.worker.conftest import BeginAttempt, MakeSpec
from tests.worker.processes import wait_until
from worker import tracking
from worker.attempt import Attempt
from worker.tracking import Tracking
from worker.uploads import Uploads

pytestmark = pytest.mark.integration

UNREACHABLE = {"name": "mlflow", "uri": "sqlite:////proc/nowhere/mlflow.db"}


def report_steps(attempt: Attempt, *steps: int) -> None:
    with attempt.workdir.events.open("a") as file:
        file.writelines(to_line(step_finished(step)) + "\n" for step in steps)


def test_curves_are_among_the_artifacts(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    attempt = begin_attempt(make_spec(trackers=[{"name": "tensorboard"}]))
    with Tracking(attempt) as tracking, Uploads(attempt) as uploads:
        report_steps(attempt, 1, 2)
        tracking.note(step_finished(2))
        tracking.finish()
        uploads.note_log(attempt.workdir)
        uploads.finish()

    (artifact,) = attempt.backends.store.artifacts(attempt.job.id)
    assert artifact.path.startswith("reports/tensorboard/events.out.tfevents.")
    assert artifact.path.endswith(".attempt-1")
    attempt.storage.download(artifact.path, tmp_path / artifact.path)
    curves = EventAccumulator(str(tmp_path / "reports/tensorboard")).Reload()
    assert [event.step for event in curves.Scalars("train/loss")] == [1, 2]
    assert warnings(attempt.backends, attempt.job.id) == []


def test_a_tracker_that_fails_is_a_warning(
    begin_attempt: BeginAttempt,
    make_spec: MakeSpec,
    backends: Backends,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backends.secrets.put("default", "token", "secret-0123")
    monkeypatch.setattr(tracking, "GRACE_SECONDS", 0.0)
    attempt = begin_attempt(
        make_spec(trackers=[UNREACHABLE], secrets={"MLFLOW_TRACKING_TOKEN": "token"})
    )
    with Tracking(attempt) as opened:
        report_steps(attempt, 1)
        wait_until(lambda: "mlflow" in (attempt.workdir.root / "trackers.log").read_text())
        (attempt.workdir.root / "trackers.log").write_text("mlflow: token secret-0123 refused")
        opened.finish()
        opened.finish()
    (warning,) = warnings(attempt.backends, attempt.job.id)
    assert warning == "trackers_failed"


def test_a_process_that_died_is_told_of_soon(
    begin_attempt: BeginAttempt, make_spec: MakeSpec
) -> None:
    attempt = begin_attempt(make_spec(trackers=[{"name": "tensorboard"}]))
    with Tracking(attempt) as opened:
        assert opened._process is not None
        opened._process.kill(0)
        opened.note(step_finished(1))
        opened.note(step_finished(2))
    assert warnings(attempt.backends, attempt.job.id) == ["trackers_failed"]


def test_a_job_without_trackers_has_no_process(begin_attempt: BeginAttempt) -> None:
    with Tracking(begin_attempt()) as opened:
        opened.note(step_finished(1))
        opened.finish()
    assert opened._process is None
