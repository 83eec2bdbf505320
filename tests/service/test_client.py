"""The client, against a real server."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobs.backends import Backends
from jobs.models import Artifact, Job, JobSpec
from jobs.status import JobStatus
from service.client import ApiError, Client, CorruptDownload, Unreachable
from service.responses import FieldProblem
from tests.service.serving import serving, step_finished

NOWHERE = "http://127.0.0.1:9"


def test_a_job_goes_through_its_life(
    client: Client, backends: Backends, document: dict[str, Any]
) -> None:
    job = client.jobs.create(JobSpec.model_validate(document))
    assert client.jobs.pause(job.id).status is JobStatus.PAUSED
    assert client.jobs.resume(job.id).status is JobStatus.QUEUED
    assert client.jobs.progress(job.id).total_steps == 100
    assert [item.id for item in client.jobs.list(status=JobStatus.QUEUED).items] == [job.id]
    assert client.jobs.cancel(job.id).status is JobStatus.CANCELLED
    assert client.jobs.get(job.id) == backends.store.get(job.id)


def test_a_wrong_spec_is_an_error_with_its_fields(client: Client, document: dict[str, Any]) -> None:
    document["training"] = {"steps": 0}
    with pytest.raises(ApiError) as raised:
        client.jobs.create(document)
    assert (raised.value.status, raised.value.code) == (422, "invalid_spec")
    assert raised.value.errors == [
        FieldProblem(
            path="training.steps", message="Input should be greater than or equal to 1; got 0"
        )
    ]


def test_a_service_that_does_not_answer_is_unreachable() -> None:
    with Client(NOWHERE) as client:
        with pytest.raises(Unreachable, match="does not answer"):
            client.jobs.get("job_1")
        with pytest.raises(Unreachable):
            list(client.jobs.stream("job_1"))


def test_events_are_read_over_all_pages(
    client: Client, running: Job, report: Callable[..., None]
) -> None:
    report(running, *(step_finished(n) for n in range(2, 1101)))
    assert [event.id for event in client.jobs.events(running.id)] == list(range(1, 1104))
    assert [event.id for event in client.jobs.events(running.id, after=1101)] == [1102, 1103]


def test_a_stream_ends_with_the_job(client: Client, backends: Backends, running: Job) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    events = list(client.jobs.stream(running.id, after=3))
    assert [event.type for event in events] == ["train.step", "job.succeeded"]
    assert list(client.jobs.stream(running.id, after=5)) == []


def test_a_stream_outlives_a_restart_of_the_server_without_loss_or_repetition(
    backends: Backends, running: Job, report: Callable[..., None]
) -> None:
    first = ExitStack()
    url = first.enter_context(serving(backends))
    with Client(url) as client:
        stream = client.jobs.stream(running.id)
        seen = [next(stream).id for _ in range(4)]
        first.close()
        report(running, step_finished(2))
        with serving(backends, int(url.rpartition(":")[2])):
            seen.append(next(stream).id)
            backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
            seen += [event.id for event in stream]
    assert seen == [1, 2, 3, 4, 5, 6]


@pytest.fixture
def model(backends: Backends, running: Job, tmp_path: Path) -> dict[str, bytes]:
    """The files of a finished model, and a log, in the storage of the running job."""
    files = {
        "final/config.json": b"{}",
        "final/model.safetensors": bytes(3_000_000),
        "logs/attempt-1.log": b"",
    }
    for path, content in files.items():
        (tmp_path / "file").write_bytes(content)
        backends.storage_for(running).upload(tmp_path / "file", path)
        artifact = Artifact(
            path=path,
            kind="final" if path.startswith("final/") else "log",
            step=None,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            created_at=datetime.now(UTC),
        )
        backends.attempts.add_artifacts(running.id, 1, [artifact])
    return files


def test_the_files_below_a_prefix_are_downloaded(
    client: Client, running: Job, model: dict[str, bytes], tmp_path: Path
) -> None:
    files = client.jobs.download(running.id, tmp_path / "down", prefix="final/")
    assert [file.relative_to(tmp_path / "down").as_posix() for file in files] == [
        "final/config.json",
        "final/model.safetensors",
    ]
    assert files[1].read_bytes() == model["final/model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "down/final").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_what_is_already_there_is_not_fetched_again(
    client: Client, running: Job, model: dict[str, bytes], tmp_path: Path
) -> None:
    (first, _) = client.jobs.download(running.id, tmp_path / "down", prefix="final/")
    before = first.stat().st_mtime_ns
    first.with_name("model.safetensors").write_bytes(b"half")
    (again, other) = client.jobs.download(running.id, tmp_path / "down", prefix="final/")
    assert again.stat().st_mtime_ns == before
    assert other.read_bytes() == model["final/model.safetensors"]


@pytest.mark.usefixtures("model")
def test_a_damaged_file_is_not_kept(
    client: Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(b"[]")
    backends.storage_for(running).upload(tmp_path / "other", "final/config.json")
    with pytest.raises(CorruptDownload, match=r"final/config\.json"):
        client.jobs.download(running.id, tmp_path / "down", prefix="final/")
    assert list((tmp_path / "down/final").iterdir()) == []


def test_a_file_cannot_be_written_outside_of_the_folder(
    client: Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    artifact = Artifact(
        path="../escape", kind="log", step=None, size=0, sha256="0", created_at=datetime.now(UTC)
    )
    backends.attempts.add_artifacts(running.id, 1, [artifact])
    with pytest.raises(CorruptDownload, match="outside"):
        client.jobs.download(running.id, tmp_path / "down")


class Stranger(BaseHTTPRequestHandler):
    """A server that is not ours: it answers everything with the status in the path's job id."""

    def do_GET(self) -> None:  # http.server's name for it
        self.send_error(int(self.path.rpartition("/")[2]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
        pass


@contextmanager
def stranger() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_that_is_not_from_the_service_is_told_as_it_is() -> None:
    with stranger() as url, Client(url) as client:
        with pytest.raises(ApiError, match="answers 418"):
            client.jobs.get("418")
        with pytest.raises(Unreachable, match="answers 502"):
            client.jobs.get("502")
