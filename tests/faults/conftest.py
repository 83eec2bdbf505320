"""Jobs of the real trainer, the twin that nothing disturbs, and the parts around a worker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.admin.migrate import migrate
from jobs.backends import Backends, open_backends
from jobs.settings import Settings
from tests.faults.checks import check_nothing_is_lost, check_succeeded
from tests.faults.jobs import short_job
from tests.worker.attempts import attempt
from tests.worker.conftest import MakeSpec, _one_thread, backends, corpus, make_spec, settings
from tests.worker.forked_trainer import ForkedLauncher

__all__ = ["_one_thread", "backends", "corpus", "make_spec", "settings"]

NothingIsLost = Callable[[str], None]


def undisturbed(folder: Path, spec: MakeSpec, *, ranks: int) -> Path:
    """Run a job that nothing disturbs. Return the folder with its files."""
    settings = Settings(
        data_dir=folder / "relora",
        broker_url="redis://127.0.0.1:9/0",
        processes_without_gpus=True,  # a job for two GPUs has two ranks
    )
    migrate(settings.database_url)
    backends = open_backends(settings)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")
        job = backends.store.create(short_job(spec, ranks=ranks))
        job = attempt(backends, job.id, launcher=ForkedLauncher())
    check_succeeded(backends, job, folder / "files")
    backends.close()
    return folder / "files"


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory, make_spec: MakeSpec) -> Path:
    return undisturbed(tmp_path_factory.mktemp("twin"), make_spec, ranks=1)


@pytest.fixture(scope="session")
def twin_with_two_ranks(tmp_path_factory: pytest.TempPathFactory, make_spec: MakeSpec) -> Path:
    return undisturbed(tmp_path_factory.mktemp("twin-with-two-ranks"), make_spec, ranks=2)


@pytest.fixture
def job_id(backends: Backends, make_spec: MakeSpec) -> str:
    """Return the id of a new job with one rank."""
    return backends.store.create(short_job(make_spec)).id


@pytest.fixture
def nothing_is_lost(backends: Backends, tmp_path: Path, twin: Path) -> NothingIsLost:
    """Return a function that checks the end of a job with one rank."""
    return lambda job_id: check_nothing_is_lost(backends, job_id, tmp_path / job_id, twin=twin)
