"""Run an experiment on a service: submit its runs as sweeps, and store each result."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from benchmarks.lab.experiments import SEED, Experiment, Run
from benchmarks.lab.plan import batches, next_runs
from benchmarks.lab.records import Evaluation, Ranks, Record, Records, spec_hash
from benchmarks.lab.text.build import Text
from benchmarks.machine import Machine
from jobs.schemas.events import AnyJobEvent
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from jobs.schemas.sweeps import SweepJob
from relora_core.estimate import estimate
from relora_core.events import (
    DataPrepared,
    Evaluated,
    Event,
    PhaseStarted,
    SpectrumMeasured,
    StepFinished,
    TrainStarted,
)
from service.client import Client

DIVERGED = "diverged"  # the error code of a job
SPEED_STEPS = 20
Progress = Callable[[str], None]
AnEvent = TypeVar("AnEvent", bound=Event)


class RunFailed(Exception):
    """A job ended in a way that is no result. The message says what to do."""


@dataclass(frozen=True)
class Laboratory:
    """An experiment with its text, on a service that runs."""

    experiment: Experiment
    client: Client
    text: Text
    text_folder: Path
    records: Records
    machine: Machine

    def run_all(self, progress: Progress) -> None:
        """Run what is missing. A job that an earlier lab submitted is waited for."""
        while runs := next_runs(self.experiment, self.records.read(self.text.sha256)):
            jobs = {run: job_id for batch in batches(runs) for run, job_id in self._jobs(batch)}
            for run in runs:
                record = self._record(run, self.client.jobs.wait(jobs[run]))
                self.records.write(record)
                result = DIVERGED if record.diverged else f"{math.exp(record.loss):.2f}"
                progress(f"{run.name}: perplexity {result}, {record.seconds:.0f} s")

    def seconds_per_step(self) -> float:
        """Measure the speed of the first arm in a short job, which also prepares the data."""
        arm = self.experiment.arms[0]
        run = Run(arm.name, "rates", arm.rates.values[0], None, self.experiment.tuning_seed)
        document = self.experiment.document(run, self.text_folder)
        document["training"] |= {"steps": SPEED_STEPS, "log_every": SPEED_STEPS}
        document["evaluation"] = {"every": None, "tokens": 1}
        document |= {"name": "speed", "schedule": {"warmup_steps": 1}}
        job = self.client.jobs.wait(self.client.jobs.create(document).id)
        events = self._events(job)
        if job.status != JobStatus.SUCCEEDED:
            raise RunFailed(f"the job that measures the speed {job.status}: {job.error}")
        speed = _of(events, StepFinished)[-1].tokens_per_second
        return self.experiment.model.tokens_per_step / speed

    def _jobs(self, batch: Sequence[Run]) -> Iterable[tuple[Run, str]]:
        """Yield the job of each run. Submit those that the service does not have as one sweep."""
        base = self.experiment.document(batch[0], self.text_folder)
        field = SEED if batch[0].stage == "seeds" else self.experiment.arm(batch[0].arm).rates.field
        _remove(base, field)
        content = sha256(json.dumps(base, sort_keys=True).encode()).hexdigest()
        name = f"{self.experiment.name} {batch[0].arm} {batch[0].stage} {content[:12]}"
        known = {job.changes[field]: job.job_id for job in self._submitted(name)}
        if missing := [_value(run) for run in batch if _value(run) not in known]:
            new = {"base": base, "grid": {field: missing}, "name": name}
            known |= {job.changes[field]: job.job_id for job in self.client.sweeps.create(new).jobs}
        return [(run, known[_value(run)]) for run in batch]

    def _submitted(self, name: str) -> Iterator[SweepJob]:
        """Yield the jobs of earlier sweeps of this name that have, or may yet have, a result."""
        for summary in self.client.sweeps.list():
            if summary.name == name:
                for job in self.client.sweeps.get(summary.id).jobs:
                    if job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
                        yield job

    def _events(self, job: Job) -> list[AnyJobEvent]:
        return list(self.client.jobs.events(job.id))

    def _record(self, run: Run, job: Job) -> Record:
        diverged = job.error is not None and job.error.code == DIVERGED
        if job.status != JobStatus.SUCCEEDED and not diverged:
            why = f": {job.error.message}" if job.error else ""
            raise RunFailed(f"{run.name}: job {job.id} {job.status}{why}; start the lab again")
        planned = estimate(self.experiment.spec(run, self.text_folder)).run
        events = self._events(job)
        return Record(
            run=run,
            spec_sha256=spec_hash(self.experiment, run),
            text_sha256=self.text.sha256,
            validation_bytes=sum(part.validation_bytes for part in self.text.parts),
            validation_tokens=_validation_tokens(events),
            machine=self.machine,
            diverged=diverged,
            evaluations=_evaluations(events),
            ranks=_ranks(events),
            trained_parameters=_of(events, PhaseStarted)[-1].trainable_parameters,
            tokens=planned.tokens,
            executed_flops=planned.executed_flops,
            seconds=(events[-1].time - _of(events, TrainStarted)[0].time).total_seconds(),
            tokens_per_second=median(step.tokens_per_second for step in _of(events, StepFinished)),
            peak_memory_bytes=job.progress.peak_memory_bytes,
        )


def _of(events: Iterable[AnyJobEvent], kind: type[AnEvent]) -> list[AnEvent]:
    return [event for event in events if isinstance(event, kind)]


def _evaluations(events: Iterable[AnyJobEvent]) -> list[Evaluation]:
    return [
        Evaluation(step=event.step, loss=event.loss, tokens=event.tokens or 0)
        for event in _of(events, Evaluated)
    ]


def _validation_tokens(events: Iterable[AnyJobEvent]) -> int:
    prepared = _of(events, DataPrepared)
    return next(event.tokens for event in prepared if event.split == "validation")


def _ranks(events: Iterable[AnyJobEvent]) -> list[Ranks]:
    return [
        Ranks(
            step=event.step,
            restart=event.restart,
            effective_rank=event.effective_rank,
            stable_rank=event.stable_rank,
            condition_number=event.condition_number,
            weight_effective_rank=event.weight_effective_rank,
            weight_condition_number=event.weight_condition_number,
        )
        for event in _of(events, SpectrumMeasured)
    ]


def _remove(document: dict[str, Any], path: str) -> None:
    *sections, last = path.split(".")
    for section in sections:
        document = document[section]
    del document[last]


def _value(run: Run) -> float:
    return run.seed if run.stage == "seeds" else run.rate
