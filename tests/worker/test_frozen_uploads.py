"""A worker that freezes in the middle of a PUT, and wakes up after another finished its job."""

import os
import signal
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.broker.celery_queue import dispatch
from jobs.garbage.storage import collect_garbage
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.fixtures.proxy import Answer, Proxy
from tests.worker.attempts import starts
from tests.worker.conftest import MakeSpec
from tests.worker.processes import WorkerProcess, scripted_worker, wait_until
from tests.worker.scripted_trainer import weights
from worker.reaper import reap

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEPS = 120


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str, s3_url: str) -> Settings:
    """Return the settings of workers on separate nodes with a common database and storage."""
    return Settings(
        data_dir=tmp_path / "relora",
        database_url=f"sqlite:///{tmp_path}/relora.db",
        storage_url=s3_url,
        broker_url=valkey_url,
        lease_seconds=3,
    )


def frozen_in_a_put(proxy: Proxy, folder: str) -> list[str]:
    """Freeze the proxy when the server has the head of a PUT below `folder`.

    Return a list that contains the target of the PUT from then on.
    """
    targets: list[str] = []

    def freeze(method: str, target: str) -> Answer | None:
        if method == "PUT" and f"/{folder}/" in target and not targets:
            proxy.freeze()
            targets.append(target)
        return None

    proxy.answer(freeze)
    return targets


def contents(backends: Backends, job: Job) -> dict[str, bytes]:
    """Return the bytes of each listed file, after a check of its hash."""
    storage = backends.storage_for(job)
    read = {}
    for file in backends.store.artifacts(job.id):
        read[file.path] = b"".join(storage.read(file.key))
        assert sha256(read[file.path]).hexdigest() == file.sha256
    return read


def checkpoints(backends: Backends, job: Job) -> set[int]:
    """Return the steps of the listed checkpoints."""
    files = backends.store.artifacts(job.id)
    return {file.step for file in files if file.kind == "checkpoint" and file.step is not None}


def stored(backends: Backends, job: Job) -> set[str]:
    return {file.key for file in backends.storage_for(job).list("")}


def test_a_put_that_goes_on_when_another_attempt_has_finished_changes_none_of_its_files(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_STEP_SECONDS", "0.02")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    job = backends.store.create(make_spec(steps=STEPS))
    dispatch(backends.outbox, backends.queue)
    with Proxy.to(endpoint) as proxy, ExitStack() as workers:

        def start(name: str, through: str) -> WorkerProcess:
            monkeypatch.setenv("AWS_ENDPOINT_URL", through)
            own = backends.settings.model_copy(update={"data_dir": tmp_path / name})
            return workers.enter_context(scripted_worker(own, tmp_path / f"{name}.log"))

        first = start("first", proxy.url(endpoint))
        wait_until(lambda: bool(checkpoints(backends, job)))
        put = frozen_in_a_put(proxy, "checkpoints")
        wait_until(lambda: bool(put) and backends.store.get(job.id).progress.step == STEPS)
        resumable = max(checkpoints(backends, job))
        os.kill(first.pid, signal.SIGSTOP)

        start("second", endpoint)
        wait_until(
            lambda: backends.store.get(job.id).status is JobStatus.SUCCEEDED,
            meanwhile=lambda: reap(backends),
        )
        assert starts(backends, job.id) == [None, resumable]
        finished, of_the_second = contents(backends, job), stored(backends, job)
        late = put[0].partition(f"/{job.id}/")[2]
        assert late not in of_the_second

        os.kill(first.pid, signal.SIGCONT)
        proxy.heal()
        wait_until(lambda: "no longer holds job" in first.log)
        wait_until(lambda: late in stored(backends, job))

    assert contents(backends, job) == finished
    model = finished["final/model.safetensors"].decode()
    assert model == weights(job.spec.train.training.seed, STEPS)
    assert stored(backends, job) == {*of_the_second, late}
    list(collect_garbage(backends, dry_run=False))
    assert stored(backends, job) == {file.key for file in backends.store.artifacts(job.id)}
