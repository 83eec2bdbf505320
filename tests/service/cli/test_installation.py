"""What waits and who works, on the command line."""

import json
from datetime import UTC, datetime
from typing import Any

from jobs.backends import Backends
from jobs.schemas.job import JobSpec
from jobs.schemas.workers import Gpu, Registration
from tests.service.cli.conftest import Relora


def test_the_queue_is_shown_in_its_order_with_the_count_of_each_status(
    relora: Relora, backends: Backends, document: dict[str, Any]
) -> None:
    first, second, third = (backends.store.create(JobSpec(**document)) for _ in range(3))
    assert backends.attempts.claim(first.id, worker="w1", lease_seconds=60)
    relora("jobs", "change", third.id, "--priority", "7")
    counts, _, *rows = relora("queue").stdout.splitlines()
    assert counts == "2 queued, 1 starting"
    assert [row.split()[:4] for row in rows] == [
        [third.id, "1", "7", "tiny"],
        [second.id, "2", "0", "tiny"],
    ]
    shown = json.loads(relora("queue", "--limit", "1", "--json").stdout)
    assert [item["job_id"] for item in shown["items"]] == [third.id]
    assert shown["counts"]["queued"] == 2


def test_an_empty_queue_is_said(relora: Relora) -> None:
    assert relora("queue").stdout == "no jobs\n"


def test_workers_are_listed_with_their_gpus_and_jobs(
    relora: Relora, backends: Backends, document: dict[str, Any]
) -> None:
    gpu = Gpu(name="NVIDIA H100", memory_bytes=85_000_000_000)
    for name, gpus in (("w1", (gpu, gpu)), ("w2", ())):
        backends.workers.beat(
            Registration(name=name, host="h", version="1", gpus=gpus, started_at=datetime.now(UTC))
        )
    sick = Registration(name="w3", host="h", version="1", gpus=(), started_at=datetime.now(UTC))
    backends.workers.beat(sick, problem="no room in /scratch")
    job = backends.store.create(JobSpec(**document))
    assert backends.attempts.claim(job.id, worker="w1", lease_seconds=60, gpus=2)
    _, busy, idle, unhealthy = relora("workers").stdout.splitlines()
    assert busy.split()[:3] == ["w1", "busy", job.id]
    assert busy.rstrip().endswith("2 x NVIDIA H100, 85.0 GB")
    assert idle.split()[:3] == ["w2", "idle", "-"]
    assert idle.rstrip().endswith("none: trains on the CPU")
    assert unhealthy.split()[:3] == ["w3", "unhealthy", "-"]
    assert "no room in /scratch" in unhealthy
