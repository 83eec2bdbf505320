"""Run an experiment on a service, which gets the runs as sweeps."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from benchmarks.lab.experiments import SEED, Run
from benchmarks.lab.laboratory import Events, Finished, Laboratory, RunFailed, of_kind
from benchmarks.lab.plan import batches
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from jobs.schemas.sweeps import SweepJob
from relora_core.errors import Diverged
from relora_core.events import StepFinished
from service.client import Client

SPEED_STEPS = 20


@dataclass(frozen=True)
class ServiceLaboratory(Laboratory):
    """It submits the runs to a service, as sweeps. A job of an earlier lab is waited for."""

    client: Client

    def seconds_per_step(self) -> float:
        """Measure the speed of the first arm in a short job, which also prepares the data."""
        arm = self.experiment.arms[0]
        run = Run(arm.name, "rates", arm.rates.values[0], None, self.experiment.tuning_seed)
        document = self.experiment.document(run, self.text_folder)
        document["training"] |= {"steps": SPEED_STEPS, "log_every": SPEED_STEPS}
        document["evaluation"] = {"every": None, "tokens": 1}
        document |= {"name": "speed", "schedule": {"warmup_steps": 1}}
        document["priority"] = 100  # before the runs that an earlier start left in the queue
        job = self.client.jobs.wait(self.client.jobs.create(document).id)
        if job.status != JobStatus.SUCCEEDED:
            raise RunFailed(f"the job that measures the speed {job.status}: {job.error}")
        speed = of_kind(self._events(job), StepFinished)[-1].tokens_per_second
        return self.experiment.model.tokens_per_step / speed

    def _finish(self, runs: Sequence[Run]) -> Iterator[Finished]:
        jobs = {run: job_id for batch in batches(runs) for run, job_id in self._jobs(batch)}
        for run in runs:
            job = self.client.jobs.wait(jobs[run])
            diverged = job.error is not None and job.error.code == Diverged.code
            if job.status != JobStatus.SUCCEEDED and not diverged:
                why = f": {job.error.message}" if job.error else ""
                raise RunFailed(f"{run.name}: job {job.id} {job.status}{why}; start the lab again")
            yield Finished(run, self._events(job), diverged)

    def _events(self, job: Job) -> Events:
        return list(self.client.jobs.events(job.id))

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


def _remove(document: dict[str, Any], path: str) -> None:
    *sections, last = path.split(".")
    for section in sections:
        document = document[section]
    del document[last]


def _value(run: Run) -> float:
    return run.seed if run.stage == "seeds" else run.rate
