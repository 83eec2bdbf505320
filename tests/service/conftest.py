"""A real server on a free port over a real store; jobs that a test moves along itself."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from jobs.backends import Backends, open_backends
from jobs.schemas.job import Artifact, Job, JobSpec
from jobs.settings import Settings
from relora_core.events import AnyTrainEvent
from service.client import Client
from tests.fixtures.databases import MakeTables
from tests.fixtures.reports import step_finished
from tests.service.files import AddFile
from tests.service.process import Service
from tests.service.receiver import Receiver, receiving
from tests.service.serving import serving
from tests.service.stranger import Stranger

SECRET_KEY = SecretStr(Fernet.generate_key().decode())
NOBODY = "redis://127.0.0.1:9/0"  # no broker: jobs are taken, and wait in the outbox


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    """A spec as a person writes it."""
    (tmp_path / "text.jsonl").touch()
    return {
        "name": "tiny",
        "model": {"preset": "llama_9m"},
        "data": {"train": {"uri": str(tmp_path / "text.jsonl")}, "sequence_length": 100},
        "training": {"steps": 100, "global_batch_size": 10},
    }


@pytest.fixture
def settings(tmp_path: Path, make_tables: MakeTables) -> Settings:
    make_tables(tmp_path / "relora")
    return Settings(data_dir=tmp_path / "relora", broker_url=NOBODY, secret_keys=SECRET_KEY)


@pytest.fixture
def backends(settings: Settings) -> Iterator[Backends]:
    with closing(open_backends(settings)) as opened:
        yield opened


@pytest.fixture
def url(backends: Backends) -> Iterator[str]:
    with serving(backends) as address:
        yield address


@pytest.fixture
def open_url(backends: Backends, settings: Settings) -> Iterator[str]:
    """A service on loopback with the default settings."""
    default = settings.model_copy(update={"authentication": "auto"})
    with serving(replace(backends, settings=default)) as url:
        yield url


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as opened:
        yield opened


@pytest.fixture
def job(backends: Backends, document: dict[str, Any]) -> Job:
    """A job that waits in the queue."""
    return backends.store.create(JobSpec.model_validate(document))


@pytest.fixture
def running(backends: Backends, job: Job) -> Job:
    """A job in its first attempt, after four events: queued, claimed, started, step 1."""
    claimed = backends.attempts.claim(job.id, worker="w1", lease_seconds=60)
    assert claimed is not None
    backends.attempts.started(job.id, 1, resumed_from=None)
    backends.attempts.append(job.id, 1, [(1, step_finished(1))])
    return backends.store.get(job.id)


@pytest.fixture
def report(backends: Backends) -> Callable[..., None]:
    """Append events to the first attempt of a job, as the lines from `first` on."""

    def append(job: Job, *events: AnyTrainEvent, first: int = 2) -> None:
        backends.attempts.append(job.id, 1, list(enumerate(events, first)))

    return append


@pytest.fixture
def add_file(backends: Backends, running: Job, tmp_path: Path) -> AddFile:
    """Put a file into the storage of the running job, and list it."""

    def add(path: str, content: bytes) -> None:
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

    return add


@pytest.fixture
def stranger() -> Iterator[Callable[..., tuple[str, list[tuple[str, str, dict[str, str]]]]]]:
    """Starts a server that is not ours; gives its address and the requests that it sees."""
    servers = []

    def start(
        *statuses: tuple[int, dict[str, str]],
    ) -> tuple[str, list[tuple[str, str, dict[str, str]]]]:
        seen: list[tuple[str, str, dict[str, str]]] = []
        handler = type("Handler", (Stranger,), {"statuses": list(statuses), "seen": seen})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{server.server_port}", seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody else's server, to which webhooks point."""
    with receiving() as opened:
        yield opened


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    service = Service(settings)
    service.start()
    yield service
    service.kill()
