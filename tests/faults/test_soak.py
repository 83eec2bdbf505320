"""`make soak`: jobs run while everything around them fails, and in the end nothing is lost.

For SOAK_MINUTES, a fault each 10 to 30 seconds, of a kind and at a moment that SOAK_SEED decides.
Then the faults stop, and within five minutes every job has succeeded with the weights that it has
without faults, each step's point is in the store once, each listed file has the bytes of its hash,
and the storage holds nothing that is not listed.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from jobs.backends import Backends
from jobs.garbage.storage import collect_garbage
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from relora_core.workdir.files import FINAL
from tests.faults.checks import check_succeeded, unlisted
from tests.faults.jobs import STEPS, Jobs
from tests.faults.kinds import KINDS, NotYetPossible
from tests.faults.mixed_worker import SCRIPTED_FROM
from tests.faults.system import System, build
from tests.fixtures.disks import MakeDisk
from tests.fixtures.proxy import Proxy
from tests.relora_core.processes import assert_same_tensors
from tests.worker.conftest import MakeSpec
from tests.worker.scripted_trainer import weights

MINUTES = float(os.environ.get("SOAK_MINUTES", "15"))
SEED = int(os.environ.get("SOAK_SEED", "20261128"))
SETTLE_SECONDS = 300.0
SCRIPTED_JOBS, REAL_JOBS = round(10 * MINUTES), max(1, round(0.8 * MINUTES))

logger = logging.getLogger(__name__)

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(MINUTES * 60 + SETTLE_SECONDS + 600),
]


@pytest.fixture
def settings(valkey_url: str, postgres_url: str, s3_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "person",
        database_url=postgres_url,
        broker_url=valkey_url,
        storage_url=s3_url,
        lease_seconds=6,
        outage_seconds=60,
        min_free_disk_bytes=1_000_000,
        secret_keys=SecretStr(Fernet.generate_key().decode()),
        processes_without_gpus=True,  # a job for two GPUs has two ranks
    )


@pytest.fixture
def system(
    settings: Settings,
    backends: Backends,
    make_spec: MakeSpec,
    tmp_path: Path,
    make_disk: MakeDisk,
) -> Iterator[System]:
    disks = [make_disk(size="200m"), make_disk(size="201m")]
    urls = (settings.database_url, os.environ["AWS_ENDPOINT_URL"], settings.broker_url)
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy.to(url)) for url in urls]
        system = build(settings, Jobs(backends, make_spec), tmp_path, disks, proxies)
        yield system
        system.stop()


def test_nothing_is_lost_whatever_fails(system: System, tmp_path: Path) -> None:
    random = Random(SEED)  # noqa: S311 # the same faults for the same seed
    jobs = system.jobs
    twins = {ranks: jobs.submit_real(ranks=ranks) for ranks in (1, 2)}
    _wait(system, seconds=SETTLE_SECONDS)
    assert {job.status for job in jobs.all()} == {JobStatus.SUCCEEDED}, "the machine is too busy"
    for number in range(SCRIPTED_JOBS):
        if number % (SCRIPTED_JOBS // REAL_JOBS) == 0:  # real ones all along
            jobs.submit_real()
        jobs.submit_scripted()
    injected = _inject(system, random)
    started = time.monotonic()
    _wait(system, seconds=SETTLE_SECONDS)
    _report(jobs, injected, time.monotonic() - started)

    backends = jobs.backends
    for job in jobs.all():
        check_succeeded(backends, job, tmp_path / job.id)
        seed, final = job.spec.training.seed, tmp_path / job.id / FINAL
        if seed >= SCRIPTED_FROM:
            assert (final / "model.safetensors").read_text() == weights(seed, STEPS), job.id
        else:
            assert_same_tensors(tmp_path / twins[job.spec.resources.gpus] / FINAL, final)
    for found in collect_garbage(backends, dry_run=False):
        logger.info("%s: %s, %d files", found.kind, found.where, found.files)
    assert unlisted(backends, jobs.ids) == []
    assert injected.keys() == KINDS.keys(), KINDS.keys() - injected.keys()


def _inject(system: System, random: Random) -> Counter[str]:
    """Each kind once, in an order of the seed, and then again until the time is over."""
    injected: Counter[str] = Counter()
    logger.info("soak of %g minutes, seed %d", MINUTES, SEED)
    start = time.monotonic()
    order: list[str] = []
    while time.monotonic() - start < MINUTES * 60:
        until = time.monotonic() + random.uniform(10, 30) * min(1.0, MINUTES / 15)
        order = order or random.sample(sorted(KINDS), len(KINDS))
        name = order.pop()
        logger.info("%6.1f s  %s", time.monotonic() - start, name)
        try:
            KINDS[name](system, random)
        except NotYetPossible:
            logger.info("          not possible now")
            order.insert(max(0, len(order) - 2), name)  # after two others
        else:
            injected[name] += 1
        while time.monotonic() < until:
            system.restart_if_dead()
            system.jobs.mend()
            time.sleep(0.5)
        if system.jobs.queued() < 4:  # there is always work to lose
            system.jobs.submit_scripted()
    return injected


def _wait(system: System, *, seconds: float) -> None:
    """Until every job is over, or the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not system.jobs.are_over():
        system.restart_if_dead()
        system.jobs.mend()
        time.sleep(0.5)


def _report(jobs: Jobs, injected: Counter[str], settled: float) -> None:
    everything = jobs.all()
    attempts = sum(job.attempt for job in everything)
    logger.info("%d faults of %d of %d kinds", injected.total(), len(injected), len(KINDS))
    for name, times in sorted(injected.items()):
        logger.info("  %d x %s", times, name)
    statuses = Counter(job.status.value for job in everything)
    logger.info("%d jobs in %d attempts: %s", len(everything), attempts, dict(statuses))
    real = Counter(
        job.spec.resources.gpus for job in everything if job.spec.training.seed < SCRIPTED_FROM
    )
    logger.info("of the real trainer: %d with one rank, %d with two", real[1], real[2])
    logger.info("retried by a person: %s", dict(jobs.mended))
    logger.info("all were over %.0f s after the last fault", settled)
