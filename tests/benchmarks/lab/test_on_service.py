"""The lab and the service: what it submits, what it waits for, and what it makes of the result.

The service is a stand-in, whose jobs end at once.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.lab.laboratory import Laboratory, RunFailed
from benchmarks.lab.on_service import ServiceLaboratory
from benchmarks.lab.plan import next_runs
from benchmarks.lab.records import Records
from benchmarks.lab.text.build import Part, Text
from jobs.schemas.status import JobError, JobStatus
from relora_core.events import (
    DataPrepared,
    Evaluated,
    Event,
    PhaseStarted,
    StepFinished,
    TrainStarted,
)
from service.client import Client
from tests.benchmarks.lab.made_up import EXPERIMENT, MACHINE

TEXT = Text(
    sha256="f" * 64,
    packages=[],
    parts=[
        Part(
            source="one",
            licence="public domain",
            documents=2,
            validation_documents=1,
            bytes=2000,
            validation_bytes=1000,
        )
    ],
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def events(loss: float) -> list[Event]:
    step = StepFinished(
        time=START + timedelta(seconds=9),
        step=10,
        total_steps=10,
        phase="full_rank",
        loss=loss,
        learning_rate=0.1,
        grad_norm=1.0,
        tokens_seen=100,
        tokens_per_second=50.0,
        restarts=0,
    )
    phase = PhaseStarted(
        time=START, step=0, phase="full_rank", trainable_parameters=7, frozen_parameters=0
    )
    started = TrainStarted(
        time=START,
        step=0,
        total_steps=10,
        parameters=7,
        tokens_per_step=10,
        world_size=1,
        device="cpu",
    )
    scored = Evaluated(time=START + timedelta(seconds=10), step=10, loss=loss, tokens=400)
    prepared = DataPrepared(time=START, split="validation", tokens=500)
    return [prepared, started, phase, step, scored]


class Sweeps:
    def __init__(self) -> None:
        self.made: dict[str, SimpleNamespace] = {}
        self.jobs: dict[str, SimpleNamespace] = {}

    def create(self, new: Mapping[str, Any]) -> SimpleNamespace:
        jobs = []
        ((field, values),) = new["grid"].items()
        for value in values:
            job_id = f"job-{len(self.jobs)}"
            progress = SimpleNamespace(peak_memory_bytes=2**20)
            self.jobs[job_id] = SimpleNamespace(
                id=job_id, status=JobStatus.SUCCEEDED, error=None, progress=progress
            )
            job = SimpleNamespace(job_id=job_id, changes={field: value})
            jobs.append(job)
        sweep = SimpleNamespace(id=f"sweep-{len(self.made)}", name=new["name"], new=new, jobs=jobs)
        self.made[sweep.id] = sweep
        return self.get(sweep.id)

    def list(self) -> Iterator[SimpleNamespace]:
        yield from self.made.values()

    def get(self, sweep_id: str) -> SimpleNamespace:
        sweep = self.made[sweep_id]
        for job in sweep.jobs:
            job.status = self.jobs[job.job_id].status
        return sweep


class Service:
    """A service whose jobs have ended once they are waited for."""

    def __init__(self) -> None:
        self.ends_with: JobError | None = None
        self.sweeps = Sweeps()
        self.jobs = SimpleNamespace(wait=self.wait, events=lambda _: events(3.0))

    def wait(self, job_id: str) -> SimpleNamespace:
        job = self.sweeps.jobs[job_id]
        if self.ends_with is not None:
            job.status, job.error = JobStatus.FAILED, self.ends_with
        return job


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def laboratory(service: Service, tmp_path: Path) -> Laboratory:
    records = Records(EXPERIMENT, tmp_path)
    client = cast(Client, service)
    return ServiceLaboratory(EXPERIMENT, TEXT, Path("/text"), records, MACHINE, client)


def silent(_: str) -> None:
    """Take a line that a person would see."""


def test_the_rates_of_an_arm_go_out_as_a_sweep_and_the_seeds_one_after_the_other(
    laboratory: Laboratory, service: Service
) -> None:
    laboratory.run_all(silent)
    assert next_runs(EXPERIMENT, laboratory.records.read(TEXT.sha256)) == []
    sweeps = [sweep.new for sweep in service.sweeps.made.values()]
    assert [sweep["grid"] for sweep in sweeps[:2]] == [
        {"optimizer.learning_rate": [1.0, 2.0]},
        {"optimizer.learning_rate": [0.5]},  # both were as good, so the smaller was at the edge
    ]
    assert [sweep["grid"] for sweep in sweeps[-4:]] == [
        {"training.seed": [seed]} for seed in (1, 1, 2, 2)
    ]
    assert "seed" not in sweeps[-1]["base"]["training"]


def test_a_result_is_what_the_job_reported(laboratory: Laboratory) -> None:
    laboratory.run_all(silent)
    record = next(iter(laboratory.records.read(TEXT.sha256).values()))
    assert (record.loss, record.seconds, record.trained_parameters) == (3.0, 10.0, 7)
    assert (record.text_sha256, record.tokens_per_second) == ("f" * 64, 50.0)


def test_a_job_that_an_earlier_lab_submitted_is_waited_for(
    laboratory: Laboratory, service: Service, tmp_path: Path
) -> None:
    laboratory.run_all(silent)
    submitted = len(service.sweeps.jobs)
    for file in tmp_path.rglob("*.json"):  # the lab was stopped before it stored anything
        file.unlink()
    laboratory.run_all(silent)
    assert len(service.sweeps.jobs) == submitted
    assert next_runs(EXPERIMENT, laboratory.records.read(TEXT.sha256)) == []


def test_a_job_that_diverged_is_a_result(laboratory: Laboratory, service: Service) -> None:
    service.ends_with = JobError(code="diverged", message="the loss is not finite")
    laboratory.run_all(silent)
    assert all(record.diverged for record in laboratory.records.read(TEXT.sha256).values())


def test_a_job_that_failed_otherwise_stops_the_lab_and_is_submitted_again(
    laboratory: Laboratory, service: Service
) -> None:
    service.ends_with = JobError(code="no_disk", message="the disk is full")
    with pytest.raises(RunFailed, match="the disk is full; start the lab again"):
        laboratory.run_all(silent)
    service.ends_with = None
    laboratory.run_all(silent)
    assert next_runs(EXPERIMENT, laboratory.records.read(TEXT.sha256)) == []
