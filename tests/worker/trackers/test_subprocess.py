"""The tracker process, which runs beside the trainer."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from relora_core.events import to_line
from tests.fixtures.reports import step_finished
from tests.worker.checkpoints import warnings
from tests.worker.conftest import BeginAttempt, MakeSpec
from tests.worker.processes import wait_until
from worker.attempt.attempt import Attempt
from worker.trackers import subprocess as tracking
from worker.trackers.subprocess import Tracking
from worker.trackers.tracker import FAILURES
from worker.transfers.uploads import Uploads

pytestmark = pytest.mark.integration


@contextmanager
def serving(status: int, body: bytes, location: str = "") -> Iterator[tuple[str, list[str]]]:
    """Run a server that gives this answer to every request. Yield its URL and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 # the name is given by http.server

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


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
    attempt.storage.download(artifact.key, tmp_path / artifact.path)
    curves = EventAccumulator(str(tmp_path / "reports/tensorboard")).Reload()
    assert [event.step for event in curves.Scalars("train/loss")] == [1, 2]
    assert warnings(attempt.backends, attempt.job.id) == []


@pytest.mark.slow
def test_a_tracker_that_fails_is_a_warning_without_a_word_of_its_server(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "GRACE_SECONDS", 0.0)
    with serving(500, b"what only the worker can read") as (url, _):
        attempt = begin_attempt(make_spec(trackers=[{"name": "mlflow", "uri": url}]))
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with Tracking(attempt) as opened:
            report_steps(attempt, 1)
            wait_until((attempt.workdir.root / FAILURES).exists)
            opened.finish()
            opened.finish()
    (event,) = attempt.backends.store.events(attempt.job.id, types={"job.warning"})
    assert str(event).startswith("warning: not all was tracked: mlflow: MlflowException")
    assert "worker can read" not in str(event)


@pytest.mark.slow
def test_a_redirect_of_a_tracker_is_not_followed(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with serving(200, b"{}") as (other, asked), serving(302, b"", location=other) as (url, told):
        attempt = begin_attempt(make_spec(trackers=[{"name": "mlflow", "uri": url}]))
        with Tracking(attempt):
            wait_until((attempt.workdir.root / FAILURES).exists)
    assert (bool(told), asked) == (True, [])


def test_the_process_inherits_no_credential_of_the_worker(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = begin_attempt(make_spec(trackers=[{"name": "tensorboard"}]))
    monkeypatch.setenv("WHAT_NOBODY_HAS_THOUGHT_OF", "of-the-operator")
    with Tracking(attempt) as opened:
        assert opened._process is not None
        environment = Path(f"/proc/{opened._process.pid}/environ").read_text()
    assert "PATH=" in environment
    assert "of-the-operator" not in environment


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
